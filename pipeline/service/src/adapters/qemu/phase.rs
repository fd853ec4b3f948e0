//! How far a guest has booted, in plain words, by what it writes to its serial console.

use std::fmt;

/// How far a guest has booted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The firmware looks for something to boot.
    #[default]
    Firmware,
    /// The boot loader runs.
    BootLoader,
    /// The kernel starts.
    Kernel,
    /// The system starts its services.
    Services,
    /// It asks for a login, or its SSH server answers.
    Login,
}

/// Words of a line and what they show, the first that fit. Kernels put a time before what services say of themselves.
const SIGNS: [(&str, Phase); 11] = [
    (" login:", Phase::Login),
    ("Welcome to GRUB", Phase::BootLoader),
    ("Booting `", Phase::BootLoader),
    ("systemd-boot", Phase::BootLoader),
    ("[  OK  ]", Phase::Services),
    ("systemd[1]:", Phase::Services),
    ("Welcome to ", Phase::Services),
    ("Linux version ", Phase::Kernel),
    ("Run /init as init process", Phase::Kernel),
    ("EFI stub:", Phase::Kernel),
    ("Decompressing Linux", Phase::Kernel),
];

impl Phase {
    /// The furthest that some lines of the console show.
    pub fn of(lines: &str) -> Phase {
        let of_line =
            |line: &str| SIGNS.iter().find(|(words, _)| line.contains(words)).map(|(_, phase)| *phase);
        lines.lines().filter_map(of_line).max().unwrap_or_default()
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Phase::Firmware => "firmware",
            Phase::BootLoader => "boot loader",
            Phase::Kernel => "kernel",
            Phase::Services => "services",
            Phase::Login => "login",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_a_console_shows_how_far_the_guest_is() {
        for (line, phase) in [
            ("", "firmware"),
            ("BdsDxe: loading Boot0001 \"UEFI Misc Device\" from PciRoot(0x0)", "firmware"),
            ("\u{1b}[47mWelcome to GRUB!", "boot loader"),
            ("  Booting `Murmur Linux 43 (Cloud)'", "boot loader"),
            ("[    0.000000] Linux version 6.1.0 (gcc 12)", "kernel"),
            ("[    2.388029] Run /init as init process", "kernel"),
            ("Welcome to Murmur Linux 43 (Cloud)!", "services"),
            ("[    3.1] systemd[1]: Hostname set to <a>.", "services"),
            ("[  OK  ] Started sshd.service - SSH server.", "services"),
            ("\r\r\nmuster-f380d7b3 login: ", "login"),
        ] {
            assert_eq!(Phase::of(line).to_string(), phase, "{line}");
        }
        let all = "[    0.0] Linux version 6\nWelcome to Murmur!\n[    3.1] random: crng init done\n";
        assert_eq!(Phase::of(all), Phase::Services, "what the kernel says later takes nothing back");
    }
}
