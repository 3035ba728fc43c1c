fn main() -> std::process::ExitCode {
    ijepa_run::main()
}
