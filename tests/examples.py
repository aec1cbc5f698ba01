#!/usr/bin/env python3
"""The example APIs of openapi/: every route answers as its document says."""

import base64
import os
import shutil
import unittest

from gateway import ROOT, Backend, Gateway

BOOTSTRAP = ROOT / "fixtures/functions/orders/target/release/bootstrap"
JSON = ("Content-Type", "application/json")


class Example(unittest.TestCase):
    definition = None

    @classmethod
    def setUpClass(cls):
        if cls is Example:
            raise unittest.SkipTest("only its children run")
        cls.backend = cls.enterClassContext(Backend())
        cls.gateway = cls.enterClassContext(
            Gateway(
                ROOT / "openapi" / cls.definition,
                "--stage-variable",
                f"backend=127.0.0.1:{cls.backend.port}",
            )
        )


class PetsOfEitherKind:
    """The function behind /pets is the same for both kinds of API."""

    def test_pets_are_listed_added_changed_and_removed(self):
        all_pets = self.gateway.get("/pets").json
        self.assertEqual([pet["name"] for pet in all_pets], ["Rex", "Mia", "Tweety"])

        added = self.gateway.send("POST", "/pets", [JSON], '{"name": "Nemo", "kind": "fish"}')
        self.assertEqual(added.status, 201)
        self.assertEqual(added.header("location"), f"/pets/{added.json['id']}")

        place = added.header("location")
        changed = self.gateway.send("PUT", place, [JSON], '{"name": "Nemo", "status": "sold"}')
        self.assertEqual(changed.json["status"], "sold")
        self.assertEqual(self.gateway.get(place).json, changed.json)

        self.assertEqual(self.gateway.send("DELETE", place).status, 204)
        self.assertEqual(self.gateway.get(place).status, 404)

    def test_pets_are_found_by_several_statuses(self):
        found = self.gateway.get("/pets?status=sold&status=lost").json

        self.assertEqual([pet["name"] for pet in found], ["Tweety"])

    def test_a_pet_without_name_is_refused(self):
        answer = self.gateway.send("POST", "/pets", [JSON], '{"kind": "dog"}')

        self.assertEqual((answer.status, answer.json), (400, {"message": "a pet has a name"}))

    def test_a_photo_goes_up_and_comes_down(self):
        photo = bytes(range(256))

        up = self.gateway.send("PUT", "/pets/2/photo", [("Content-Type", "image/png")], photo)
        down = self.gateway.get("/pets/2/photo", ("Accept", "image/png"))

        self.assertEqual(up.json, {"id": 2, "bytes": 256})
        self.assertEqual(down.header("content-type"), "image/png")
        self.assertEqual(down.body, photo)

    @unittest.skipUnless(shutil.which("node"), "Node.js is not there")
    def test_a_node_function_greets(self):
        answer = self.gateway.get("/greetings/caf%C3%A9?language=fr")

        self.assertEqual(answer.json, {"greeting": "Bonjour, café!", "by": "greet"})

    def test_the_backend_gets_everything(self):
        answer = self.gateway.send("POST", "/shop/a/b%20c?x=1&x=2", [("X-Mark", "m"), ("Content-Type", "text/plain")], "hey")

        seen = answer.json
        self.assertEqual(seen["method"], "POST")
        self.assertEqual(seen["path"], "/shop/a/b%20c")
        self.assertEqual(seen["query"], "x=1&x=2")
        self.assertEqual(seen["body"], "hey")
        self.assertEqual(seen["headers"]["x-mark"], "m")

    def test_the_gateway_is_in_good_health(self):
        self.assertEqual(self.gateway.get("/health").status, 200)


class PetstoreRest(PetsOfEitherKind, Example):
    definition = "petstore-rest.yaml"

    def test_without_a_binary_accept_a_photo_is_base64(self):
        # /pets/1/photo is still the one that the function was started with.
        text = self.gateway.get("/pets/1/photo", ("Accept", "text/html")).body

        self.assertTrue(base64.b64decode(text, validate=True).startswith(b"\x89PNG"))

    def test_an_appraisal_gets_the_body_as_event(self):
        answer = self.gateway.send("POST", "/appraisals", [JSON], '{"kind": "dog", "age": 3}')

        self.assertEqual((answer.status, answer.json), (200, {"kind": "dog", "age": 3, "price": 270}))

    def test_a_failed_appraisal_is_a_200_without_a_pattern_for_it(self):
        answer = self.gateway.send("POST", "/appraisals", [JSON], '{"kind": "unicorn"}')

        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.json["errorType"], "ValueError")
        self.assertEqual(answer.json["errorMessage"], "no price for 'unicorn'")

    def test_breeds_come_from_the_backend_and_its_404_is_kept(self):
        known = self.gateway.get("/breeds/dog")
        unknown = self.gateway.get("/breeds/fish")

        self.assertEqual((known.status, known.json), (200, ["Appenzeller", "Beagle", "Collie"]))
        self.assertEqual((unknown.status, unknown.json), (404, {"message": "no breeds of fish"}))

    def test_mocks_answer_without_a_backend(self):
        status = self.gateway.get("/status")
        register = self.gateway.send("POST", "/register", [JSON], "{}")

        self.assertEqual((status.status, status.json), (200, {"open": True}))
        self.assertEqual((register.status, register.header("retry-after")), (503, "120"))
        self.assertEqual(register.json, {"message": "Registration opens soon."})

    def test_a_preflight_is_a_mock(self):
        answer = self.gateway.send("OPTIONS", "/pets", [("Origin", "https://app.example")])

        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.header("access-control-allow-origin"), "*")
        self.assertEqual(answer.header("access-control-allow-methods"), "GET,POST,OPTIONS")

    def test_echo_shows_the_request(self):
        seen = self.gateway.send("POST", "/echo/some/where?a=1", [("X-Mine", "yes")], "hey").json

        self.assertEqual((seen["method"], seen["path"], seen["rawQuery"]), ("POST", "/echo/some/where", "a=1"))
        self.assertEqual(seen["pathParameters"], {"proxy": "some/where"})
        self.assertEqual(seen["stageVariables"]["alias"], "live")
        self.assertEqual(seen["headers"]["x-mine"], "yes")
        self.assertEqual((seen["body"], seen["isBase64Encoded"]), ("hey", False))

    def test_the_event_of_a_rest_api_is_shown(self):
        event = self.gateway.get("/event/some/where?a=1", ("X-Mine", "yes")).json

        self.assertEqual(event["resource"], "/event/{proxy+}")
        self.assertEqual(event["path"], "/event/some/where")
        self.assertEqual(event["pathParameters"], {"proxy": "some/where"})
        self.assertEqual(event["queryStringParameters"], {"a": "1"})
        self.assertEqual(event["headers"]["X-Mine"], "yes")
        self.assertEqual(event["stageVariables"]["alias"], "live")
        self.assertEqual(event["requestContext"]["stage"], "dev")

    def test_a_folder_is_served(self):
        page = self.gateway.get("/site/index.html")
        style = self.gateway.get("/site/style.css")

        self.assertTrue(page.header("content-type").startswith("text/html"), page)
        self.assertEqual(page.body, (ROOT / "openapi/site/index.html").read_bytes())
        self.assertTrue(style.header("content-type").startswith("text/css"), style)
        self.assertEqual(self.gateway.get("/site/missing.html").status, 404)

    def test_a_served_folder_has_no_way_out(self):
        secret = (ROOT / "openapi/tollgate.yaml").read_bytes()
        for path in ("/site/../tollgate.yaml", "/site/%2e%2e/tollgate.yaml", "/site/..%2ftollgate.yaml", "/site/..%5ctollgate.yaml"):
            answer = self.gateway.get(path)

            self.assertGreaterEqual(answer.status, 400, path)
            self.assertNotIn(secret[:40], answer.body, path)

    def test_what_is_not_there_is_403(self):
        for method, path in (("GET", "/nothing"), ("DELETE", "/pets")):
            answer = self.gateway.send(method, path)

            self.assertEqual((answer.status, answer.json), (403, {"message": "Missing Authentication Token"}))


class PetstoreHttp(PetsOfEitherKind, Example):
    definition = "petstore-http.yaml"

    @unittest.skipUnless(shutil.which("node"), "Node.js is not there")
    def test_an_old_node_function_gets_payload_1(self):
        self.assertEqual(self.gateway.get("/quotes?weight=2").json, {"weight": 2, "price": 7.5})

    def test_the_default_route_takes_the_rest(self):
        event = self.gateway.send("PATCH", "/no/such/route?a=1&a=2", [("Cookie", "a=1; b=2")]).json

        self.assertEqual(event["version"], "2.0")
        self.assertEqual(event["routeKey"], "$default")
        self.assertEqual(event["rawPath"], "/no/such/route")
        self.assertEqual(event["queryStringParameters"], {"a": "1,2"})
        self.assertEqual(event["cookies"], ["a=1", "b=2"])
        self.assertEqual(event["requestContext"]["http"]["method"], "PATCH")


class Orders(Example):
    definition = "orders-swagger.yaml"

    def test_a_rust_function_takes_orders(self):
        if not BOOTSTRAP.exists():
            if os.environ.get("CI"):
                self.fail(f"{BOOTSTRAP} was not built")
            self.skipTest("the bootstrap is not built")
        added = self.gateway.send("POST", "/orders", [JSON], '{"pet": "mia", "quantity": 2}')
        self.assertEqual((added.status, added.json), (201, {"id": 2, "pet": "mia", "quantity": 2}))
        self.assertEqual(self.gateway.get("/orders/2").json, added.json)
        self.assertEqual([o["id"] for o in self.gateway.get("/orders?pet=rex").json], [1])
        self.assertEqual(self.gateway.get("/orders/9").status, 404)

    def test_stock_is_asked_of_the_backend(self):
        self.assertEqual(self.gateway.get("/stock/cats/siamese").json["path"], "/stock/cats/siamese")

    def test_every_method_of_basket_is_gone(self):
        for method in ("GET", "POST", "DELETE"):
            answer = self.gateway.send(method, "/basket")

            self.assertEqual((answer.status, answer.json), (410, {"message": "Baskets have become orders."}))


if __name__ == "__main__":
    unittest.main()
