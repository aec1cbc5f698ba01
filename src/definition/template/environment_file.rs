//! SAM's `--env-vars FILE.json`: variables of functions for local runs.
//!
//! `{"Parameters": {"K": "v"}}` is for all functions, `{"LOGICAL_ID": {"K": "v"}}`
//! for one, which wins. Only variables that the template declares are set.
//!
//! Source: AWS SAM developer guide, "sam local invoke", environment variable file.

use indexmap::IndexMap;
use serde_json::Value as Json;

/// What the file says.
#[derive(Clone, Debug, Default)]
pub struct EnvironmentFile {
    all: IndexMap<String, String>,
    one: IndexMap<String, IndexMap<String, String>>,
}

impl EnvironmentFile {
    /// Reads the file's text.
    ///
    /// # Errors
    ///
    /// Words on what is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        let json: Json = serde_json::from_str(text).map_err(|problem| problem.to_string())?;
        let Json::Object(sections) = json else {
            return Err("it must be an object of functions".to_owned());
        };
        let mut file = Self::default();
        for (name, variables) in sections {
            let Json::Object(variables) = variables else {
                return Err(format!("`{name}` must be an object of variables"));
            };
            let variables = variables
                .into_iter()
                .map(|(name, value)| (name, as_text(&value)));
            if name == "Parameters" {
                file.all = variables.collect();
            } else {
                file.one.insert(name, variables.collect());
            }
        }
        Ok(file)
    }

    /// The value of a variable of a function that is known by any of these names.
    pub fn value(&self, names: &[&str], variable: &str) -> Option<&str> {
        let own = names.iter().find_map(|name| self.one.get(*name));
        own.and_then(|own| own.get(variable))
            .or_else(|| self.all.get(variable))
            .map(String::as_str)
    }

    /// Sets the declared variables of a function that is known by any of these names.
    pub fn apply(&self, names: &[&str], environment: &mut IndexMap<String, String>) {
        for (name, value) in environment.iter_mut() {
            if let Some(given) = self.value(names, name) {
                given.clone_into(value);
            }
        }
    }
}

/// Lists, maps and null become nothing, as with SAM.
fn as_text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Bool(flag) => flag.to_string(),
        Json::Number(number) => number.to_string(),
        Json::Null | Json::Array(_) | Json::Object(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_variables_are_set_and_a_functions_own_win() {
        let file = EnvironmentFile::read(
            r#"{"Parameters": {"A": "all", "B": 2, "N": null}, "F": {"A": "own", "X": "not declared"}}"#,
        )
        .unwrap();
        let declared: IndexMap<String, String> = ["A", "B", "C", "N"]
            .map(|name| (name.to_owned(), "template".to_owned()))
            .into();

        let mut of_f = declared.clone();
        file.apply(&["F"], &mut of_f);
        let mut of_g = declared;
        file.apply(&["G"], &mut of_g);

        let values = |map: &IndexMap<String, String>| map.values().cloned().collect::<Vec<_>>();
        assert_eq!(values(&of_f), ["own", "2", "template", ""]);
        assert_eq!(values(&of_g), ["all", "2", "template", ""]);
        assert!(EnvironmentFile::read("[]").is_err());
        assert!(EnvironmentFile::read(r#"{"F": 1}"#).is_err());
    }
}
