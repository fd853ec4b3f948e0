//! A cell of the test matrix in words, the same wherever a person reads of it. Pure.

use muster_flow::recipe::{Cell, Firmware, Machine, Metadata};

/// The machine, such as `q35 with UEFI`.
pub fn machine(cell: &Cell) -> String {
    let machine = match cell.machine {
        Machine::Pc => "pc",
        Machine::Q35 => "q35",
    };
    let firmware = match cell.firmware {
        Firmware::Bios => "BIOS",
        Firmware::Uefi => "UEFI",
    };
    format!("{machine} with {firmware}")
}

/// The machine, and everything else about it that a test may depend on.
pub fn words(cell: &Cell) -> String {
    let metadata = match cell.metadata {
        Metadata::NoCloud => "on a NoCloud disk",
        Metadata::Ec2 => "from the metadata service of EC2",
    };
    let disk = match cell.disk_mib {
        0 => "as built".to_owned(),
        disk => format!("{disk} MiB"),
    };
    let memory = cell.memory_mib;
    format!("{}, {memory} MiB of memory, disk {disk}, metadata {metadata}", machine(cell))
}

#[cfg(test)]
mod tests {
    use muster_flow::recipe::Form;

    use super::*;

    #[test]
    fn a_cell_is_told_with_all_that_a_test_may_depend_on() {
        let mut cell = Cell {
            name: "uefi-q35".to_owned(),
            artifact: Form::Qcow2,
            firmware: Firmware::Uefi,
            machine: Machine::Q35,
            metadata: Metadata::NoCloud,
            memory_mib: 512,
            disk_mib: 0,
        };
        assert_eq!(
            words(&cell),
            "q35 with UEFI, 512 MiB of memory, disk as built, metadata on a NoCloud disk"
        );
        (cell.firmware, cell.machine) = (Firmware::Bios, Machine::Pc);
        (cell.metadata, cell.disk_mib) = (Metadata::Ec2, 600);
        assert_eq!(
            words(&cell),
            "pc with BIOS, 512 MiB of memory, disk 600 MiB, metadata from the metadata service of EC2"
        );
    }
}
