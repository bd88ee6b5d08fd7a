"""A client that openapi-python-client makes from /openapi.json.

Gets a token, and creates, reads, changes and deletes a contact.

usage: round_trip.py URL CLIENT_ID CLIENT_SECRET
"""

import datetime
import sys

from ctms_client import AuthenticatedClient, Client
from ctms_client.api.access import get_token
from ctms_client.api.contacts import (
    create_contact,
    delete_contact_by_primary_email,
    find_contacts,
    get_contact,
    get_updates,
    patch_contact,
)
from ctms_client.models import (
    ApiError,
    ChangedContact,
    ChangedEmail,
    Contact,
    HttpValidationError,
    NewContact,
    NewEmail,
    NewNewsletter,
    NewWaitlist,
    NewWaitlistFields,
    Token,
    TokenRequest,
    UpdatesPage,
)

ADDRESS = "python@example.com"


def log_in(url: str, client_id: str, client_secret: str) -> AuthenticatedClient:
    token = get_token.sync(
        client=Client(url),
        body=TokenRequest(
            grant_type="client_credentials", client_id=client_id, client_secret=client_secret
        ),
    )
    assert isinstance(token, Token), token
    return AuthenticatedClient(url, token=token.access_token)


def main(url: str, client_id: str, client_secret: str) -> None:
    client = log_in(url, client_id, client_secret)
    new = NewContact(
        email=NewEmail(primary_email=ADDRESS, first_name="Robin", double_opt_in=True),
        newsletters=[NewNewsletter(name="mozilla-and-you", format_="T")],
        waitlists=[NewWaitlist(name="vpn", fields=NewWaitlistFields.from_dict({"geo": "fr"}))],
    )
    created = create_contact.sync_detailed(client=client, body=new)
    assert created.status_code == 201, created
    assert isinstance(created.parsed, Contact), created
    email_id = created.parsed.email.email_id

    read = get_contact.sync(email_id, client=client)
    assert isinstance(read, Contact), read
    name: str | None = read.email.first_name
    when: datetime.datetime | None = read.email.create_timestamp
    assert name == "Robin" and when is not None and when.tzinfo is not None, read
    assert read.newsletters[0].name == "mozilla-and-you", read
    assert read.waitlists[0].fields["geo"] == "fr", read
    found = find_contacts.sync(client=client, primary_email=ADDRESS)
    assert isinstance(found, list) and found == [Contact.from_dict(found[0].to_dict())], found

    changed = patch_contact.sync(
        email_id,
        client=client,
        body=ChangedContact(email=ChangedEmail(first_name=None), newsletters="UNSUBSCRIBE"),
    )
    assert isinstance(changed, Contact), changed
    assert changed.email.first_name is None, changed
    assert not changed.newsletters[0].subscribed, changed

    start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    page = get_updates.sync(client=client, start=start)
    assert isinstance(page, UpdatesPage), page
    assert email_id in [contact.email.email_id for contact in page.items], page

    gone = delete_contact_by_primary_email.sync(ADDRESS, client=client)
    assert isinstance(gone, list) and gone[0].email_id == email_id, gone
    missing = get_contact.sync(email_id, client=client)
    assert isinstance(missing, ApiError) and missing.detail == "Unknown email_id", missing

    # What the document forbids is an error of types, and is refused with an explanation.
    wrong = create_contact.sync(
        client=client,
        body=NewContact(email=NewEmail(primary_email={"a": 1})),  # type: ignore[arg-type]
    )
    assert isinstance(wrong, HttpValidationError), wrong
    for error in wrong.detail:
        print(".".join(str(key) for key in error.loc) + ": " + error.msg)


main(*sys.argv[1:])
