//! The methods of Java's classes that a template can call.
//!
//! Velocity finds a method by name and by the classes of the arguments. What
//! it does not find has no value; what throws ends the rendering. One oddity
//! shows: a method without parameters also answers a call with some, and that
//! call then fails. Nothing that leads to a class loader is here: `getClass`
//! has no value.
//!
//! One file a class; this one has the names and sends each call to its class.

pub(super) mod collection;
mod java_format;
mod java_regex;
mod number;
mod text;

use super::render::{Failure, Renderer};
use super::value::{Object, Value};

/// Makes the enum of names and the function that reads one.
macro_rules! names {
    ($($variant:ident = $text:literal,)*) => {
        /// The name of a method, compiled.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Name {
            $($variant,)*
            /// No class has a method of that name.
            Unknown,
        }

        impl Name {
            /// What a template's text names.
            pub(super) fn of_method(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)*
                    _ => Self::Unknown,
                }
            }
        }
    };
}

names! {
    Abs = "abs", Add = "add", AddAll = "addAll", AppendElement = "appendElement",
    Base64Decode = "base64Decode", Base64Encode = "base64Encode", BitCount = "bitCount",
    BooleanValue = "booleanValue", ByteValue = "byteValue", CharAt = "charAt",
    CharValue = "charValue", Clear = "clear", Clone = "clone", CodePointAt = "codePointAt",
    CodePointCount = "codePointCount", Compare = "compare", CompareTo = "compareTo",
    CompareToIgnoreCase = "compareToIgnoreCase", Concat = "concat", Contains = "contains",
    ContainsAll = "containsAll", ContainsKey = "containsKey", ContainsValue = "containsValue",
    ContentEquals = "contentEquals", CopyValueOf = "copyValueOf", Decode = "decode",
    Divide = "divide", DoubleValue = "doubleValue", EndsWith = "endsWith",
    EntrySet = "entrySet", Equals = "equals", EqualsIgnoreCase = "equalsIgnoreCase",
    EscapeJavaScript = "escapeJavaScript", FloatValue = "floatValue", Format = "format",
    Formatted = "formatted", Get = "get", GetBytes = "getBytes", GetCount = "getCount",
    GetFirst = "getFirst", GetHasNext = "getHasNext", GetIndex = "getIndex", GetKey = "getKey",
    GetLast = "getLast", GetNumericValue = "getNumericValue", GetOrDefault = "getOrDefault",
    GetParent = "getParent", GetReplaced = "getReplaced", GetTopmost = "getTopmost",
    GetValue = "getValue", HasNext = "hasNext", HashCode = "hashCode", IndexOf = "indexOf",
    IntValue = "intValue", Intern = "intern", IsAlphabetic = "isAlphabetic",
    IsBlank = "isBlank", IsDigit = "isDigit", IsEmpty = "isEmpty", IsFinite = "isFinite",
    IsFirst = "isFirst", IsInfinite = "isInfinite", IsLast = "isLast", IsLetter = "isLetter",
    IsLetterOrDigit = "isLetterOrDigit", IsLowerCase = "isLowerCase", IsNaN = "isNaN",
    IsUpperCase = "isUpperCase", IsWhitespace = "isWhitespace", Iterator = "iterator",
    Join = "join", Json = "json", KeySet = "keySet", LastIndexOf = "lastIndexOf",
    Length = "length", ListIterator = "listIterator", LogicalAnd = "logicalAnd",
    LogicalOr = "logicalOr", LogicalXor = "logicalXor", LongValue = "longValue",
    Matches = "matches", Max = "max", Min = "min", Mod = "mod", Multiply = "multiply",
    Negate = "negate", Next = "next", Params = "params", ParseBoolean = "parseBoolean",
    ParseDouble = "parseDouble", ParseFloat = "parseFloat", ParseInt = "parseInt",
    ParseJson = "parseJson", ParseLong = "parseLong", Path = "path", Pow = "pow", Put = "put",
    PutAll = "putAll", PutIfAbsent = "putIfAbsent", RegionMatches = "regionMatches",
    Remainder = "remainder", Remove = "remove", RemoveAll = "removeAll", Repeat = "repeat",
    Replace = "replace", ReplaceAll = "replaceAll", ReplaceFirst = "replaceFirst",
    RetainAll = "retainAll", Reverse = "reverse", Set = "set", SetValue = "setValue",
    ShortValue = "shortValue", Signum = "signum", Size = "size", Split = "split",
    StartsWith = "startsWith", Strip = "strip", StripLeading = "stripLeading",
    StripTrailing = "stripTrailing", SubList = "subList", SubSequence = "subSequence",
    Substring = "substring", Subtract = "subtract", Sum = "sum", ToArray = "toArray",
    ToBinaryString = "toBinaryString", ToCharArray = "toCharArray", ToHexString = "toHexString",
    ToJsonString = "toJSONString", ToLowerCase = "toLowerCase", ToOctalString = "toOctalString",
    ToString = "toString", ToUpperCase = "toUpperCase", Trim = "trim", TrimToSize = "trimToSize",
    UrlDecode = "urlDecode", UrlEncode = "urlEncode", ValueOf = "valueOf", Values = "values",
}

/// What a call gives; null where there is no such method.
pub(super) type Outcome<'a> = Result<Value<'a>, Failure>;

/// Java's `void` methods have the empty text as their value.
pub(super) const fn void<'a>() -> Outcome<'a> {
    Ok(Value::text(""))
}

/// Calls a method of any value but `$input`, `$util` and `$context`.
pub(super) fn call<'a>(
    renderer: &mut Renderer<'a>,
    receiver: &Value<'a>,
    name: Name,
    arguments: &[Value<'a>],
) -> Outcome<'a> {
    // What every object has.
    match (name, arguments) {
        (Name::Equals, [other]) => return Ok(Value::Boolean(receiver.equals(other))),
        (Name::ToString, []) => {
            if matches!(receiver, Value::Text(_)) {
                return Ok(receiver.clone());
            }
            return renderer.text_of(receiver).map(Value::Text);
        }
        (Name::HashCode, []) => {
            return Ok(Value::int(hash_code(receiver, &mut 100_000, 100)));
        }
        _ => {}
    }
    match receiver {
        Value::Text(receiver) => text::call(renderer, receiver, name, arguments),
        Value::Number(number) => number::call(renderer, number, name, arguments),
        Value::Boolean(value) => number::call_boolean(*value, name, arguments),
        Value::Character(unit) => number::call_character(*unit, name, arguments),
        Value::List(list) => collection::call_list(renderer, list, name, arguments),
        Value::Map(map) => collection::call_map(renderer, map, name, arguments),
        Value::Object(object) => match &**object {
            Object::Loop(state) => collection::call_loop(renderer, state, name, arguments),
            _ => collection::call_object(renderer, object, name, arguments),
        },
        Value::Null | Value::Input | Value::Util | Value::Context => Ok(Value::Null),
    }
}

/// A call with arguments of a method that has no parameters: Java throws.
pub(super) fn no_match<'a>(
    name: Name,
    arguments: &[Value<'a>],
    without_parameters: &[Name],
) -> Outcome<'a> {
    let of_every_object = matches!(name, Name::HashCode | Name::ToString);
    if !arguments.is_empty() && (of_every_object || without_parameters.contains(&name)) {
        return Err(Failure::thrown("wrong number of arguments"));
    }
    Ok(Value::Null)
}

/// An argument for an `int` parameter: no wider number fits.
pub(super) fn int_argument(value: &Value<'_>) -> Option<i32> {
    use super::number::Number;
    match value {
        Value::Number(number @ (Number::Integer(_) | Number::Short(_) | Number::Byte(_))) => {
            Some(number.to_int())
        }
        _ => None,
    }
}

/// Java's `hashCode`.
fn hash_code(value: &Value<'_>, steps: &mut u32, depth: u32) -> i32 {
    if *steps == 0 || depth == 0 {
        return 0;
    }
    *steps -= 1;
    match value {
        Value::Null | Value::Input | Value::Util | Value::Context => 0,
        Value::Boolean(value) => {
            if *value {
                1231
            } else {
                1237
            }
        }
        Value::Number(number) => number.hash_code(),
        Value::Character(unit) => i32::from(*unit),
        Value::Text(text) => text.as_str().encode_utf16().fold(0_i32, |hash, unit| {
            hash.wrapping_mul(31).wrapping_add(i32::from(unit))
        }),
        Value::List(list) => list.items.borrow().iter().fold(1_i32, |hash, item| {
            hash.wrapping_mul(31)
                .wrapping_add(hash_code(item, steps, depth - 1))
        }),
        Value::Map(map) => {
            let entries = map.entries.borrow();
            (0..entries.len())
                .filter_map(|index| entries.at(index))
                .fold(0_i32, |hash, (key, value)| {
                    let entry =
                        hash_code(key, steps, depth - 1) ^ hash_code(value, steps, depth - 1);
                    hash.wrapping_add(entry)
                })
        }
        Value::Object(object) => match &**object {
            Object::Entry(map, at) => map.at(*at).map_or(0, |(key, value)| {
                hash_code(&key, steps, depth - 1) ^ hash_code(&value, steps, depth - 1)
            }),
            _ => 0,
        },
    }
}
