//! `ijepa-run` with components of my own.

mod centroid;
mod checkerboard;
mod pseudo_huber;

fn main() -> std::process::ExitCode {
    ijepa_run::main()
}

#[cfg(test)]
mod tests {
    #[test]
    fn components_keep_the_laws_of_their_kinds() {
        let laws = ijepa_registry::laws::check_all();
        assert!(laws.failures.is_empty(), "{}", laws.failures.join("\n"));
    }
}
