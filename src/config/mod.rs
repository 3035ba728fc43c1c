//! YAML text to a validated experiment. Pure: text in, value or all errors out.
