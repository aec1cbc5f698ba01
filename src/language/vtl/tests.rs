//! The engine as a whole; its rules are in `tests/vtl`.

use super::*;

fn render(template: &str) -> Result<String, RenderError> {
    Template::parse(template)
        .unwrap()
        .render(&Inputs::default(), &mut Overrides::default())
}

#[test]
fn a_template_can_be_shared_by_threads() {
    fn shared<T: Send + Sync>() {}

    shared::<Template>();
}

#[test]
fn an_error_says_where() {
    let error = Template::parse("a\nb #if($x)").unwrap_err();

    assert_eq!((error.line, error.column), (2, 10));
}

#[test]
fn a_string_that_doubles_itself_is_stopped() {
    let error = render("#set($s = 'x')#foreach($i in [1..900])#set($s = \"$s$s\")#end");

    assert!(error.is_err());
}

#[test]
fn a_list_that_holds_itself_prints_and_frees_itself() {
    assert_eq!(
        render("#set($l = [1])#set($d = $l.add($l))$l").as_deref(),
        Ok("[1, (this Collection)]")
    );
    assert!(render("#set($a = [])#set($b = [$a])#set($d = $a.add($b))$a").is_err());
}

#[test]
fn loops_end_after_a_thousand_rounds() {
    assert_eq!(
        render("#foreach($i in [1..5000])#set($n = $i)#end$n").as_deref(),
        Ok("1000")
    );
}

#[test]
fn nesting_is_refused_before_it_hurts() {
    for (open, close) in [
        ("#if($x)", "#end"),
        ("#set($x = ((", ""),
        ("$a.b(", ""),
        ("[", ""),
        ("#set($x = [[", ""),
        ("#set($x = !!", ""),
        ("$a[$a", ""),
        ("#set($x = {$a:{", ""),
    ] {
        let text = format!("{}{}", open.repeat(5_000), close.repeat(5_000));
        drop(Template::parse(&text));
    }
    let text = format!("#set($x = {})", "[".repeat(5_000));
    assert!(Template::parse(&text).is_err());
    let text = format!("#set($x = {}1)", "1 + ".repeat(5_000));
    assert!(Template::parse(&text).is_err());
    let deep = format!("#set($x = {}1{})$x", "(".repeat(60), ")".repeat(60));
    assert_eq!(render(&deep).as_deref(), Ok("1"));
}

#[test]
fn overrides_pass_from_one_template_to_the_next() {
    let mut overrides = Overrides::default();
    let request = Template::parse("#set($context.responseOverride.own = ['a', {'b': 1}])").unwrap();
    let response = Template::parse("$context.responseOverride.own[1].b").unwrap();

    request.render(&Inputs::default(), &mut overrides).unwrap();
    let text = response.render(&Inputs::default(), &mut overrides);

    assert_eq!(text.as_deref(), Ok("1"));
}
