//! TensorBoard's event files: fields of protocol buffers, records with checksums, and the messages of a run.
//!
//! No crate: those that write event files are years old or write scalars only, and this is all that is needed.

/// A message under way: fields in the order in which they are added.
#[derive(Clone, Debug, Default, PartialEq)]
struct Message(Vec<u8>);

impl Message {
    /// An integer.
    pub fn integer(mut self, field: u32, value: u64) -> Self {
        self.key(field, 0);
        self.varint(value);
        self
    }

    /// A `double`.
    pub fn double(mut self, field: u32, value: f64) -> Self {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A `float`.
    pub fn float(mut self, field: u32, value: f32) -> Self {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A text.
    pub fn text(self, field: u32, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    /// A message in the message.
    pub fn message(self, field: u32, value: &Message) -> Self {
        self.bytes(field, &value.0)
    }

    fn bytes(mut self, field: u32, bytes: &[u8]) -> Self {
        self.key(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    /// Number of a field and how its value is coded.
    fn key(&mut self, field: u32, wire: u32) {
        self.varint(u64::from(field << 3 | wire));
    }

    /// Seven bits a byte, the lowest first.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// `length | checksum of it | payload | checksum of it`.
fn record(message: &Message) -> Vec<u8> {
    let length = (message.0.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), &message.0, &masked(&message.0)].concat()
}

/// TensorFlow's mask of a checksum: `rotate right by 15, + 0xa282ead8`.
fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// CRC-32C: the reflected polynomial 0x82F63B78, bit by bit; event files are short.
fn crc32c(bytes: &[u8]) -> u32 {
    let shift = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), shift))
}

/// The first record of a file.
pub(crate) fn version(seconds: f64) -> Vec<u8> {
    record(&event(seconds, 0).text(3, "brain.Event:2"))
}

/// One value of a series at a step.
pub(crate) fn scalar(seconds: f64, step: u64, tag: &str, value: f64) -> Vec<u8> {
    let value = Message::default().text(1, tag).float(2, value as f32);
    record(&event(seconds, step).message(5, &Message::default().message(1, &value)))
}

/// A session starts at this step: what earlier files of the run hold from there on counts no longer.
pub(crate) fn restart(seconds: f64, step: u64) -> Vec<u8> {
    record(&event(seconds, step).message(7, &Message::default().integer(1, 1)))
}

/// The run's row in the table of hyperparameters: its settings, and the group that it belongs to.
pub(crate) fn session_start(seconds: f64, group: &str, settings: &[(String, String)]) -> Vec<u8> {
    let mut info = Message::default();
    for (path, value) in settings {
        // google.protobuf.Value
        let value = match (value.parse::<f64>(), value.as_str()) {
            (Ok(number), _) => Message::default().double(2, number),
            (_, "true" | "false") => Message::default().integer(4, u64::from(value == "true")),
            _ => Message::default().text(3, value),
        };
        info = info.message(1, &Message::default().text(1, path).message(2, &value));
    }
    let info = info.text(4, group).double(5, seconds);
    record(&event(seconds, 0).message(5, &summary("_hparams_/session_start_info", 3, &info)))
}

/// The end of the run, and whether it went well.
pub(crate) fn session_end(seconds: f64, success: bool) -> Vec<u8> {
    let end = Message::default().integer(1, if success { 1 } else { 2 }).double(2, seconds);
    record(&event(seconds, 0).message(5, &summary("_hparams_/session_end_info", 4, &end)))
}

/// `Event`: time and step.
fn event(seconds: f64, step: u64) -> Message {
    let event = Message::default().double(1, seconds);
    if step == 0 { event } else { event.integer(2, step) }
}

/// `Summary` with a value that holds `HParamsPluginData` with one field.
fn summary(tag: &str, field: u32, content: &Message) -> Message {
    let plugin =
        Message::default().text(1, "hparams").message(2, &Message::default().message(field, content));
    let metadata = Message::default().message(1, &plugin);
    Message::default().message(1, &Message::default().text(1, tag).message(9, &metadata))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        // RFC 3720, B.4, and the check value of the polynomial.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn fields_are_coded_as_the_documentation_of_protocol_buffers_shows() {
        let message = Message::default().integer(1, 150).text(2, "testing");
        assert_eq!(message.0, b"\x08\x96\x01\x12\x07testing");
        assert_eq!(
            Message::default().message(3, &Message::default().integer(1, 150)).0,
            b"\x1a\x03\x08\x96\x01"
        );
    }
}
