// A client that is made from /openapi.json: types by openapi-typescript, calls by openapi-fetch.
// Gets a token, and creates, reads, changes and deletes a contact.
//
// usage: node round_trip.js URL CLIENT_ID CLIENT_SECRET
import createClient from "openapi-fetch";
import type { components, paths } from "./ctms.js";

type NewContact = components["schemas"]["new_contact"];
type Contact = components["schemas"]["contact"];
type Identity = components["schemas"]["identity"];

declare const process: { argv: string[] };
const [, , baseUrl = "", client_id = "", client_secret = ""] = process.argv;
const ctms = createClient<paths>({ baseUrl });

function check(holds: boolean, what: string): asserts holds {
    if (!holds) throw new Error(what);
}

// Errors have types too: that of a 422 has a list, others a text.
function explain(error: components["schemas"]["http_validation_error"]
    | components["schemas"]["api_error"]): string {
    return typeof error.detail === "string" ? error.detail
        : error.detail.map((e) => `${e.loc.join(".")}: ${e.msg}`).join("; ");
}

const { data: token } = await ctms.POST("/token", {
    body: { grant_type: "client_credentials", client_id, client_secret },
    headers: { "Content-Type": "application/x-www-form-urlencoded" },
});
check(token !== undefined, "no token");
ctms.use({
    onRequest({ request }) {
        request.headers.set("Authorization", `Bearer ${token.access_token}`);
        return request;
    },
});

const contact: NewContact = {
    email: { primary_email: "typescript@example.com", first_name: "Robin", double_opt_in: true },
    newsletters: [{ name: "mozilla-and-you", format: "T" }],
    waitlists: [{ name: "vpn", fields: { geo: "fr" } }],
};
const created = await ctms.POST("/ctms", { body: contact });
check(created.data !== undefined, `not created: ${created.error && explain(created.error)}`);
check(created.response.status === 201, "created");
const made: Contact = created.data;
const email_id: string = made.email.email_id;

const read = await ctms.GET("/ctms/{email_id}", { params: { path: { email_id } } });
check(read.data?.email.first_name === "Robin", "read");
check(read.data.newsletters[0]?.name === "mozilla-and-you", "its newsletter");
const found = await ctms.GET("/ctms", {
    params: { query: { primary_email: "typescript@example.com" } },
});
check(found.data?.length === 1, "found");

const changed = await ctms.PATCH("/ctms/{email_id}", {
    params: { path: { email_id } },
    body: { email: { first_name: null }, newsletters: "UNSUBSCRIBE" },
});
check(changed.data?.email.first_name === null, "changed");
check(changed.data.newsletters[0]?.subscribed === false, "unsubscribed");

const page = await ctms.GET("/updates", { params: { query: { start: "2020-01-01T00:00:00Z" } } });
check(page.data?.items[0]?.email.email_id === email_id, "it has changed");

const gone = await ctms.DELETE("/ctms/{primary_email}", {
    params: { path: { primary_email: "typescript@example.com" } },
});
const identities: Identity[] = gone.data ?? [];
check(identities[0]?.email_id === email_id, "deleted");
const missing = await ctms.GET("/ctms/{email_id}", { params: { path: { email_id } } });
check(missing.response.status === 404 && missing.error !== undefined, "it is gone");

// What the document forbids does not compile, and is refused with an explanation.
const wrong = await ctms.POST("/ctms", {
    // @ts-expect-error: an address is a text
    body: { email: { primary_email: { a: 1 } } },
});
check(wrong.error !== undefined, "refused");
console.log(explain(wrong.error));
