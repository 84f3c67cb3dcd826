//! How long planning takes: `cargo test --release --test role -- --ignored --nocapture many::`

use std::fmt::Write as _;

use quorate::role::{HostRoles, Library, Registered};
use serde_json::json;

use super::role::{AllThere, scope};
use super::simulated::Model;

const TASKS: usize = 200;
const HOSTS: usize = 100;

fn role() -> String {
    let mut text = String::new();
    for n in 0..TASKS {
        let module = match n % 8 {
            0 => format!(
                "copy: {{dest: '/etc/many/{n}.conf', content: \"host {{{{ inventory_hostname }}}} {n}\\n\"}}"
            ),
            1 => format!("template: {{src: many.conf, dest: '/etc/many/{n}.conf', mode: '0644'}}"),
            2 => format!("package: {{name: many-{n}}}"),
            3 => format!("service: {{name: many-{n}, state: started, enabled: true}}"),
            4 => format!("sysctl: {{name: net.many.n{n}, value: '{n}'}}"),
            5 => format!("file: {{path: '/var/lib/many/{n}', state: directory, mode: '0750'}}"),
            6 => format!("lineinfile: {{path: '/etc/many.d/{n}', line: 'a {n}', create: true}}"),
            // What is known of the host holds behind it: else the plan would end here.
            _ => format!(
                "command: {{cmd: 'many {n}', creates: '/var/lib/many/{n}.done'}}\n  changed_when: false"
            ),
        };
        let _ = writeln!(text, "- name: task {n}\n  {module}\n  when: number >= 0");
    }
    text
}

/// Seconds of CPU that this process has used (proc_pid_stat(5): fields 14 and 15, in hundredths).
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let rest = stat.rsplit(')').next().unwrap();
    let fields: Vec<f64> = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|f| f.parse().unwrap())
        .collect();
    fields.iter().sum::<f64>() / 100.0
}

#[test]
#[ignore = "a benchmark"]
fn two_hundred_tasks_on_a_hundred_hosts() {
    let tasks = role();
    let template =
        "{% for n in range(end=20) -%}\nline {{ n }} of {{ inventory_hostname }}\n{% endfor %}";
    let texts = [
        ("tasks/main.yml", tasks.as_str()),
        ("templates/many.conf.tera", template),
    ];
    let (library, found) = Library::from_texts("many", texts);
    assert!(!found.has_errors(), "{found:#?}");
    let start = cpu();
    for n in 0..HOSTS {
        let roles = HostRoles::new(
            vec![library.get("many").unwrap()],
            std::sync::Arc::new(AllThere),
        );
        let scope = scope(json!({"inventory_hostname": format!("host-{n}"), "number": n}));
        let facts = roles.diffs(false).facts(&scope).unwrap();
        let roles = HostRoles::new(
            vec![library.get("many").unwrap()],
            std::sync::Arc::new(AllThere),
        );
        let observed = Model::bare().observe(&facts);
        let plan = roles
            .plan(&scope, &observed, &Registered::default())
            .unwrap();
        assert_eq!(plan.steps.len(), TASKS);
    }
    println!(
        "{TASKS} tasks on {HOSTS} hosts: {:.2} s of CPU for questions and plans",
        cpu() - start
    );
}
