//! Numbers of one name that were measured in different ways.

use super::{arms::Arm, error::AnalysisError};

/// Refuses a comparison of rows that probes of one name but different settings measured.
pub(super) fn refuse_mixed(arms: &[Arm], metric: &str) -> Result<(), AnalysisError> {
    let mut seen: Option<(&str, String)> = None;
    for run in arms.iter().flat_map(|arm| &arm.runs) {
        for protocol in run.protocols(metric) {
            let here = run.source.display().to_string();
            match &seen {
                Some((first, there)) if *first != protocol => {
                    let message = format!(
                        "`{metric}` was measured with different settings of its probe: protocol {first} in {there}, \
                         {protocol} in {here}"
                    );
                    let help = "measure all runs alike: ijepa-run probe RUN... 'PROBE={ name: NAME, ... }', and \
                                compare that";
                    return Err(AnalysisError::new(message).help(help));
                }
                Some(_) => (),
                None => seen = Some((protocol, here)),
            }
        }
    }
    Ok(())
}
