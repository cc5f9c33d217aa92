//! A script that removes what was found, for when this program is gone.

use super::removal::Removal;

/// It goes on after a failure: what could be removed is gone. What ends with the boot is left alone after a reboot, when
/// something of that name is somebody else's.
pub(super) fn of(removals: &[Removal], boot_id: &str) -> String {
    let lines = |of_this_boot: bool| -> String {
        let chosen = removals.iter().filter(|removal| removal.ends_with_the_boot() == of_this_boot);
        chosen.map(|removal| format!("{}\n", removal.line())).collect()
    };
    format!(
        "#!/bin/sh\n\
         # Made by `nestless uninstall --script`.\n\
         if [ \"$(cat /proc/sys/kernel/random/boot_id)\" = {boot_id} ]; then\n:\n{}fi\n{}",
        lines(true),
        lines(false)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn run(script: &str) {
        assert!(Command::new("sh").args(["-c", script]).status().unwrap().success());
    }

    #[test]
    fn the_script_does_what_the_program_does_and_only_files_after_a_reboot() {
        let this_boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (pins, ledger) = (folder.path().join("pins/host"), folder.path().join("state/ledger"));
        let make = || {
            for path in [&pins, &ledger] {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, "").unwrap();
            }
        };
        let removals = [Removal::Pins(pins.clone()), Removal::File(ledger.clone())];
        make();
        run(&of(&removals, "another"));
        assert!(pins.exists() && !ledger.exists());
        make();
        run(&of(&removals, this_boot.trim()));
        assert!(!pins.exists() && !ledger.exists());
    }
}
