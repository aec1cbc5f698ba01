//! Finds the route of a request: a tree of path segments.
//!
//! REST: decided segment by segment, static over `{variable}` over `{greedy+}`;
//! a resource that lacks the method leaves the request to a less specific one
//! (recorded at AWS). HTTP: any full match over any greedy one, over `$default`.
//!
//! Source: API Gateway developer guide, "Set up a method request for a REST
//! API" and "Create routes for HTTP APIs".

use std::collections::HashMap;

use crate::event::query::decode_percent;
use crate::model::ApiKind;

/// The methods that ANY stands for ("Set up a method request"). Others, TRACE and
/// made-up ones, reach no backend.
const ANY_METHODS: [&str; 7] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

/// Routes by path and method; a route is known by its index.
#[derive(Debug)]
pub struct Router {
    kind: ApiKind,
    root: Node,
    default: Option<usize>,
}

#[derive(Debug, Default)]
struct Node {
    fixed: HashMap<Box<str>, Node>,
    variable: Option<Box<Node>>,
    greedy: Option<Methods>,
    methods: Methods,
}

/// The routes of one path.
#[derive(Debug, Default)]
struct Methods {
    declared: Vec<(Box<str>, usize)>,
    any: Option<usize>,
}

impl Methods {
    fn find(&self, method: &str) -> Option<usize> {
        if let Some((_, route)) = self
            .declared
            .iter()
            .find(|(declared, _)| &**declared == method)
        {
            return Some(*route);
        }
        self.any.filter(|_| ANY_METHODS.contains(&method))
    }

    fn set(&mut self, method: Option<&str>, route: usize) -> Result<(), RouteConflict> {
        match method {
            None if self.any.is_none() => self.any = Some(route),
            Some(method)
                if !self
                    .declared
                    .iter()
                    .any(|(declared, _)| &**declared == method) =>
            {
                self.declared.push((method.into(), route));
            }
            _ => return Err(RouteConflict),
        }
        Ok(())
    }
}

/// The same method and path were added twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteConflict;

/// A route that was found, and what its variables matched.
#[derive(Debug, PartialEq, Eq)]
pub struct Found<'r> {
    /// The route's index.
    pub route: usize,
    /// The path's pieces behind its variables, in the order of the path, as sent.
    pub values: Vec<&'r str>,
}

impl Router {
    /// An empty router.
    pub fn new(kind: ApiKind) -> Self {
        Self {
            kind,
            root: Node::default(),
            default: None,
        }
    }

    /// Adds a route. `path` is as the model has it: `/pets/{id}`, `/{proxy+}`, `$default`.
    ///
    /// # Errors
    ///
    /// When the same method and path are there already.
    pub fn add(
        &mut self,
        method: Option<&str>,
        path: &str,
        route: usize,
    ) -> Result<(), RouteConflict> {
        if path == "$default" {
            return match self.default.replace(route) {
                None => Ok(()),
                Some(_) => Err(RouteConflict),
            };
        }
        let mut node = &mut self.root;
        for segment in segments(path) {
            match segment
                .strip_prefix('{')
                .and_then(|rest| rest.strip_suffix('}'))
            {
                Some(name) if name.ends_with('+') => {
                    return node.greedy.get_or_insert_default().set(method, route);
                }
                Some(_) => node = node.variable.get_or_insert_default(),
                None => node = node.fixed.entry(segment.into()).or_default(),
            }
        }
        node.methods.set(method, route)
    }

    /// Finds the route for a path as sent.
    pub fn find<'r>(&self, method: &str, path: &'r str) -> Option<Found<'r>> {
        let path = match self.kind {
            // A doubled slash at the front counts once, one at the end not at all (recorded).
            ApiKind::Rest => {
                let path = path.trim_start_matches('/');
                path.strip_suffix('/').unwrap_or(path)
            }
            ApiKind::Http => path.strip_prefix('/').unwrap_or(path),
        };
        let mut search = Search {
            method,
            values: Vec::new(),
        };
        let route = match self.kind {
            ApiKind::Rest => search.rest(&self.root, rest_of(path)),
            ApiKind::Http => search
                .full(&self.root, rest_of(path))
                .or_else(|| {
                    search.values.clear();
                    search.greedy(&self.root, rest_of(path))
                })
                .or_else(|| {
                    search.values.clear();
                    self.default.filter(|_| ANY_METHODS.contains(&method))
                }),
        }?;
        Some(Found {
            route,
            values: search.values,
        })
    }
}

/// The segments of a declared path.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

/// What is left to match; `None` at the path's end.
fn rest_of(path: &str) -> Option<&str> {
    (!path.is_empty()).then_some(path)
}

/// The first segment and what follows it.
fn split(path: &str) -> (&str, Option<&str>) {
    match path.split_once('/') {
        Some((segment, rest)) => (segment, Some(rest)),
        None => (path, None),
    }
}

struct Search<'m, 'r> {
    method: &'m str,
    values: Vec<&'r str>,
}

impl<'r> Search<'_, 'r> {
    fn rest(&mut self, node: &Node, path: Option<&'r str>) -> Option<usize> {
        let Some(path) = path else {
            return node.methods.find(self.method);
        };
        let (segment, rest) = split(path);
        if let Some(found) = node
            .fixed_child(segment)
            .and_then(|child| self.rest(child, rest))
        {
            return Some(found);
        }
        if let Some(child) = &node.variable
            && !segment.is_empty()
        {
            self.values.push(segment);
            if let Some(found) = self.rest(child, rest) {
                return Some(found);
            }
            self.values.pop();
        }
        let found = node.greedy.as_ref()?.find(self.method)?;
        self.values.push(path);
        Some(found)
    }

    fn full(&mut self, node: &Node, path: Option<&'r str>) -> Option<usize> {
        let Some(path) = path else {
            return node.methods.find(self.method);
        };
        let (segment, rest) = split(path);
        if let Some(found) = node
            .fixed_child(segment)
            .and_then(|child| self.full(child, rest))
        {
            return Some(found);
        }
        let child = node.variable.as_ref().filter(|_| !segment.is_empty())?;
        self.values.push(segment);
        let found = self.full(child, rest);
        if found.is_none() {
            self.values.pop();
        }
        found
    }

    fn greedy(&mut self, node: &Node, path: Option<&'r str>) -> Option<usize> {
        let path = path?;
        let (segment, rest) = split(path);
        if let Some(found) = node
            .fixed_child(segment)
            .and_then(|child| self.greedy(child, rest))
        {
            return Some(found);
        }
        if let Some(child) = &node.variable
            && !segment.is_empty()
        {
            self.values.push(segment);
            if let Some(found) = self.greedy(child, rest) {
                return Some(found);
            }
            self.values.pop();
        }
        let found = node.greedy.as_ref()?.find(self.method)?;
        self.values.push(path);
        Some(found)
    }
}

impl Node {
    /// The child for a segment as sent. An encoded spelling of a declared
    /// segment is that segment: a backend would read it so, and a route's
    /// authorizer must not be passed by writing `%61` for `a`.
    fn fixed_child(&self, segment: &str) -> Option<&Node> {
        self.fixed.get(segment).or_else(|| {
            if segment.contains('%') {
                self.fixed.get(&*decode_percent(segment))
            } else {
                None
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn router(kind: ApiKind, routes: &[&str]) -> Router {
        let mut router = Router::new(kind);
        for (index, route) in routes.iter().enumerate() {
            let (method, path) = route.split_once(' ').unwrap_or(("ANY", route));
            router
                .add((method != "ANY").then_some(method), path, index)
                .unwrap();
        }
        router
    }

    fn find<'r>(router: &Router, method: &str, path: &'r str) -> Option<(usize, Vec<&'r str>)> {
        router
            .find(method, path)
            .map(|found| (found.route, found.values))
    }

    #[test]
    fn static_wins_over_variable_over_greedy() {
        let router = router(
            ApiKind::Rest,
            &["GET /a/b", "GET /a/{x}", "GET /a/{y+}", "GET /{z+}"],
        );

        assert_eq!(find(&router, "GET", "/a/b"), Some((0, vec![])));
        assert_eq!(find(&router, "GET", "/a/c"), Some((1, vec!["c"])));
        assert_eq!(find(&router, "GET", "/a/c/d"), Some((2, vec!["c/d"])));
        assert_eq!(find(&router, "GET", "/q"), Some((3, vec!["q"])));
        assert_eq!(find(&router, "GET", "/"), None);
        assert_eq!(find(&router, "POST", "/a/b"), None);
    }

    #[test]
    fn a_rest_resource_without_the_method_leaves_it_to_a_less_specific_one() {
        let router = router(
            ApiKind::Rest,
            &["POST /cat", "ANY /cat/any", "OPTIONS /{proxy+}"],
        );

        assert_eq!(find(&router, "OPTIONS", "/cat"), Some((2, vec!["cat"])));
        assert_eq!(find(&router, "OPTIONS", "/cat/any"), Some((1, vec![])));
        assert_eq!(find(&router, "TRACE", "/cat/any"), None);
    }

    #[test]
    fn slashes_at_the_ends_of_a_rest_path() {
        let router = router(ApiKind::Rest, &["GET /{proxy+}", "GET /"]);

        assert_eq!(find(&router, "GET", "//alpha"), Some((0, vec!["alpha"])));
        assert_eq!(
            find(&router, "GET", "/shop/cart/"),
            Some((0, vec!["shop/cart"]))
        );
        assert_eq!(
            find(&router, "GET", "/shop//cart"),
            Some((0, vec!["shop//cart"]))
        );
        assert_eq!(find(&router, "GET", "/"), Some((1, vec![])));
    }

    #[test]
    fn an_http_api_prefers_a_full_match_then_greedy_then_default() {
        let router = router(
            ApiKind::Http,
            &[
                "GET /pets/dog/1",
                "GET /pets/dog/{id}",
                "GET /pets/{proxy+}",
                "ANY /{proxy+}",
                "ANY $default",
                "GET /{a}/x",
            ],
        );

        assert_eq!(find(&router, "GET", "/pets/dog/1"), Some((0, vec![])));
        assert_eq!(find(&router, "GET", "/pets/dog/2"), Some((1, vec!["2"])));
        assert_eq!(
            find(&router, "GET", "/pets/cat/1"),
            Some((2, vec!["cat/1"]))
        );
        assert_eq!(find(&router, "POST", "/test/5"), Some((3, vec!["test/5"])));
        assert_eq!(find(&router, "GET", "/pets/x"), Some((5, vec!["pets"])));
        assert_eq!(find(&router, "GET", "/"), Some((4, vec![])));
    }

    #[test]
    fn an_encoded_spelling_does_not_pass_a_declared_segment_by() {
        for kind in [ApiKind::Rest, ApiKind::Http] {
            let router = router(kind, &["GET /admin/{x}", "GET /{proxy+}"]);

            assert_eq!(find(&router, "GET", "/%61dmin/y"), Some((0, vec!["y"])));
            assert_eq!(
                find(&router, "GET", "/a/../admin/y"),
                Some((1, vec!["a/../admin/y"]))
            );
        }
    }

    #[test]
    fn the_same_route_twice_is_a_conflict() {
        let mut router = Router::new(ApiKind::Rest);
        router.add(Some("GET"), "/a/{x}", 0).unwrap();

        assert_eq!(router.add(Some("GET"), "/a/{y}", 1), Err(RouteConflict));
    }

    /// The rule, written without a tree: every route is tried against the whole path.
    fn naive(kind: ApiKind, routes: &[String], path: &str) -> Option<usize> {
        let trimmed = path.trim_matches('/');
        let parts: Vec<&str> = if trimmed.is_empty() {
            vec![]
        } else {
            trimmed.split('/').collect()
        };
        // For each segment: 0 static, 1 variable, 2 greedy; the smallest list wins.
        let rank = |route: &str| -> Option<Vec<u8>> {
            let declared: Vec<&str> = segments(route).collect();
            let mut ranks = Vec::new();
            for (index, segment) in declared.iter().enumerate() {
                if segment.ends_with("+}") {
                    return (parts.len() > index).then(|| {
                        ranks.push(2);
                        ranks
                    });
                }
                let part = parts.get(index)?;
                if segment.starts_with('{') {
                    ranks.push(1);
                } else if segment == part {
                    ranks.push(0);
                } else {
                    return None;
                }
            }
            (declared.len() == parts.len()).then_some(ranks)
        };
        let ranked = routes
            .iter()
            .enumerate()
            .filter_map(|(index, route)| Some((rank(route)?, index)));
        ranked
            .min_by_key(|(ranks, _)| (kind == ApiKind::Http && ranks.contains(&2), ranks.clone()))
            .map(|(_, index)| index)
    }

    proptest! {
        #[test]
        fn the_tree_finds_what_trying_every_route_finds(
            routes in proptest::collection::btree_set("(/(a|b|\\{v\\})){0,3}(/\\{g\\+\\})?", 1..8),
            path in "(/(a|b|c)){0,4}",
            rest in any::<bool>(),
        ) {
            let kind = if rest { ApiKind::Rest } else { ApiKind::Http };
            let routes: Vec<String> = routes.into_iter().collect();
            let mut tree = Router::new(kind);
            for (index, route) in routes.iter().enumerate() {
                tree.add(Some("GET"), route, index).unwrap();
            }
            let path = if path.is_empty() { "/".to_owned() } else { path };

            prop_assert_eq!(tree.find("GET", &path).map(|found| found.route), naive(kind, &routes, &path));
        }
    }
}
