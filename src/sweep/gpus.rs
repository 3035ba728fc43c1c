//! Where the runs of a sweep go: several at a time on each of several GPUs.

use serde_json::{Map, Value};

use super::reader::Reader;

/// The `gpus` section. It changes where runs are computed, never what comes out of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpus {
    devices: Vec<u64>,
    slots: u64,
}

impl Gpus {
    /// So many runs at a time on each of the devices.
    pub fn new(devices: Vec<u64>, slots: u64) -> Self {
        Gpus { devices, slots }
    }

    /// The device of every worker. Neighbouring workers have different ones, so that few runs are
    /// spread over all.
    pub fn places(&self) -> impl Iterator<Item = u64> {
        (0..self.slots).flat_map(|_| self.devices.iter().copied())
    }
}

/// Reads the section.
pub(super) fn read(top: &Map<String, Value>, reader: &mut Reader) -> Option<Gpus> {
    let value = top.get("gpus")?;
    let map = reader.mapping("gpus", value, &["devices", "slots"])?;
    let Some(devices) = map.get("devices") else {
        reader.wrong("gpus", "names no device", "write `gpus: { devices: [0], slots: 2 }`");
        return None;
    };
    let items = reader.list("gpus.devices", devices)?;
    let mut numbers = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let at = format!("gpus.devices.{i}");
        let number = reader.whole(&at, item, 0, 9999)?;
        if numbers.contains(&number) {
            reader.wrong(&at, format!("the device {number} is there twice"), "`slots` runs several on one");
        }
        numbers.push(number);
    }
    let slots = map.get("slots").map_or(Some(1), |s| reader.whole("gpus.slots", s, 1, 64))?;
    Some(Gpus { devices: numbers, slots })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_go_round_the_devices() {
        let gpus = Gpus { devices: vec![0, 3], slots: 2 };
        assert_eq!(gpus.places().collect::<Vec<_>>(), [0, 3, 0, 3]);
    }
}
