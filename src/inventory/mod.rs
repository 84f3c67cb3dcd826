//! Floor 1: text to hosts, groups and merged variables, as Ansible reads it. Pure, but for `load`.

pub mod yaml;
