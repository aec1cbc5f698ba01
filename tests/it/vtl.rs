//! Every case of `tests/vtl` that a gateway like AWS's must pass.

use std::path::Path;

use tollgate::language::vtl::cases::{self, CaseOutcome, Summary};

#[test]
fn every_case_renders_as_at_aws() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vtl");
    let mut summary = Summary::default();
    let mut failures = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_none_or(|extension| extension != "jsonl")
        {
            continue;
        }
        let results = cases::run(&std::fs::read_to_string(&path).unwrap());
        summary.add(&results);
        for result in results {
            if let CaseOutcome::Failed {
                template,
                expected,
                actual,
            } = result.outcome
            {
                failures += &format!(
                    "{}\n  template: {template:?}\n  expected: {expected}\n  actual:   {actual}\n",
                    result.name
                );
            }
        }
    }
    println!("{summary}");
    assert!(failures.is_empty(), "{summary}\n{failures}");
    assert!(summary.passed > 1_000, "{summary}");
}
