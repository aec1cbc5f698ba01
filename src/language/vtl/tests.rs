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
fn deep_templates_render_or_fail_within_the_stack() {
    let ifs = format!("{}x{}", "#if(true)".repeat(190), "#end".repeat(190));
    assert_eq!(render(&ifs).as_deref(), Ok("x"));
    let sum = format!("#set($x = 0{})$x", " + 1".repeat(190));
    assert_eq!(render(&sum).as_deref(), Ok("190"));

    let mut blocks = String::from("#define($b0)x#end");
    for number in 1..1_200 {
        let before = number - 1;
        let nots = "!".repeat(180);
        blocks += &format!("#define($b{number})#if({nots}$b{before})$b{before}#end#end");
    }
    assert!(render(&format!("{blocks}$b1199")).is_err());

    let nested = "#set($l = [])#foreach($i in [1..900])#set($l = [$l])#end";
    assert!(render(&format!("{nested}$l")).is_err());
    assert_eq!(
        render(&format!("{nested}#if($l == [[]])x#end|$l.size()")).as_deref(),
        Ok("|1")
    );
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

mod never_panics {
    //! Input from strangers: whatever it is, there is an answer.

    use proptest::prelude::*;

    use super::*;
    use crate::language::jsonpath;

    /// Pieces that mean something to the lexer, and some that do not.
    fn piece() -> impl Strategy<Value = String> {
        let pieces = [
            "$",
            "#",
            "\\",
            "\"",
            "'",
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
            ".",
            "!",
            " ",
            "\n",
            "-",
            "1",
            "2.5",
            "##",
            "#*",
            "*#",
            "#[[",
            "]]#",
            "#end",
            "#else",
            "#if(",
            "#set($x = ",
            "$x",
            "$l",
            "#foreach($i in ",
            "#define($b)",
            "$b",
            "#break",
            "#stop",
            "+",
            "*",
            "==",
            "&&",
            "true",
            ".size()",
            ".get(0)",
            ".add($x)",
            ".substring(1)",
            ".split(',')",
            "[1..9]",
            "{'a':1}",
            ".replaceAll('a','$0$0')",
            ".keySet()",
            ".entrySet()",
            ".iterator()",
            ".next()",
            ".toString()",
            "$input.path('$..a')",
            "$input.json(\"$x\")",
            "$util.parseJson('[1]')",
            "$context",
            ".put('k', $m)",
            "$m",
            "$foreach",
            ".format('%5d', 1)",
            ".repeat(99)",
            "é😀",
            "9223372036854775807",
            ".parent",
            "#macro(m)",
            "#m()",
            "\\u0041",
            "\r\n",
            "@",
        ];
        prop_oneof![
            9 => proptest::sample::select(pieces.to_vec()).prop_map(ToOwned::to_owned),
            1 => ".{0,3}",
        ]
    }

    fn text(pieces: std::ops::Range<usize>) -> impl Strategy<Value = String> {
        proptest::collection::vec(piece(), pieces).prop_map(|pieces| pieces.concat())
    }

    fn try_out(template: &str, body: &str) {
        let Ok(parsed) = Template::parse(template) else {
            return;
        };
        let inputs = Inputs {
            body: Some(body),
            ..Inputs::default()
        };
        if let Ok(rendered) = parsed.render(&inputs, &mut Overrides::default()) {
            assert!(rendered.len() <= crate::language::vtl::render::TEXT_LIMIT * 2);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn on_pieces_of_templates(template in text(0..30), body in text(0..4)) {
            try_out(&template, &body);
        }

        #[test]
        fn on_pieces_after_some_variables(template in text(1..20)) {
            let start = "#set($l = [1,'a',[2]])#set($m = {'a':1,'b':$l})#set($x = 'text')";
            try_out(&format!("{start}{template}"), "{\"a\":[1,{\"a\":2}]}");
        }

        #[test]
        fn on_any_text(template in ".*", body in ".*") {
            try_out(&template, &body);
        }

        #[test]
        fn on_any_path(path in "[$@.a*\\[\\]?()'\",:0-9 =<>!&|/~-]{0,24}") {
            let document = serde_json::json!({"a": [1, {"a": "x"}], "b": null});
            if let Ok(path) = jsonpath::Path::compile(&path) {
                drop(path.read(&document));
            }
        }
    }
}
