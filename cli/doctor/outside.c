/*
 * doctor/outside.c: the servers of others: Acoustic, and the server with the keys of Pub/Sub; see
 * doctor.h.
 */
#include "cli/doctor/doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/acoustic_login.h"

#define ANSWER_MAX (256 * 1024)
/* Base64url of 2048 bits; RFC 8725 and NIST allow no shorter RSA keys. */
#define MODULUS_CHARACTERS 342

/* ---- requests -----------------------------------------------------------------------------------
 */

/* One request and its answer. */
struct errand {
    char *url;
    buf form; /* empty: a GET */
    double limit_s;
    char *problem; /* null: there is an answer */
    int status;
    buf answer;
};

static void
take_answer(void *arg, const http_client_answer *answer)
{
    struct errand *errand = arg;

    errand->status = answer->status;
    if (answer->problem)
        errand->problem = xstrdup(answer->problem);
    buf_append(&errand->answer, answer->body, answer->length);
}

static void
errand_run(void *job)
{
    static const char *const headers[] = {ACOUSTIC_LOGIN_HEADER, NULL};
    struct errand *errand = job;
    struct event_base *base = event_base_new();
    http_client *client = base ? http_client_new(base, "ctms") : NULL;
    bool is_post = errand->form.length > 0;
    http_client_request request = {.url = errand->url,
                                   .headers = is_post ? headers : NULL,
                                   .answer_max = ANSWER_MAX,
                                   .timeout_s = errand->limit_s};

    if (!client)
        abort(); /* out of memory, as in xmalloc() */
    http_client_send(client, &request, is_post ? &errand->form : NULL, take_answer, errand);
    while (errand->status == 0 && !errand->problem && event_base_loop(base, EVLOOP_ONCE) == 0)
        ;
    http_client_free(client);
    event_base_free(base);
}

static void
errand_free(struct errand *errand)
{
    if (!errand)
        return;
    free(errand->url);
    free(errand->problem);
    buf_free(&errand->form);
    buf_free(&errand->answer);
    free(errand);
}

/* Sends a form, which is taken over, or with an empty one a GET. Returns null after the deadline.
 */
static struct errand *
send_errand(struct doctor *d, const char *url, buf *form)
{
    struct errand *errand = xcalloc(1, sizeof(*errand));

    errand->url = xstrdup(url);
    errand->form = *form;
    *form = (buf)BUF_INIT;
    errand->limit_s = 0.9 * doctor_time_left(d);
    return doctor_run(d, errand_run, errand) ? errand : NULL;
}

/* ---- Acoustic -----------------------------------------------------------------------------------
 */

static void
judge_login(struct doctor *d, const struct errand *errand)
{
    http_client_answer answer = {.status = errand->status,
                                 .body = buf_text(&errand->answer),
                                 .length = errand->answer.length};
    json_t *object = json_loadb(answer.body, answer.length, 0, NULL);
    char text[80];

    if (errand->status == 200 && json_is_string(json_object_get(object, "access_token"))) {
        doctor_ok(d, "gave a token for the credentials");
    } else if (errand->status == 200) {
        doctor_fail(d, "Is CTMS_ACOUSTIC_BASE_URL the address of the API?",
                    "the answer has no token");
    } else {
        acoustic_login_refusal(&answer, text, sizeof(text));
        doctor_fail(d,
                    errand->status == 400 || errand->status == 401
                        ? "Correct CTMS_ACOUSTIC_CLIENT_ID, …_CLIENT_SECRET and …_REFRESH_TOKEN."
                        : "Is CTMS_ACOUSTIC_SERVER_NUMBER right? If so, try again later.",
                    "no token: %s", text);
    }
    json_decref(object);
}

void
doctor_check_acoustic(struct doctor *d)
{
    const config *agent = d->settings[DOCTOR_AGENT];
    char base_url[512];
    char url[600];
    struct errand *errand;
    buf form = BUF_INIT;

    if (!agent || !config_bool(agent, "CTMS_ACOUSTIC_INTEGRATION_FEATURE_FLAG")) {
        doctor_skip(d, "not checked: needs the settings of a ctms-agent that sends");
        return;
    }
    if (!acoustic_login_base_url(agent, base_url, sizeof(base_url))) {
        doctor_skip(d, "not checked: needs a valid CTMS_ACOUSTIC_BASE_URL");
        return;
    }
    snprintf(url, sizeof(url), "%s/oauth/token", base_url);
    acoustic_login_body(&form, config_string(agent, "CTMS_ACOUSTIC_CLIENT_ID"),
                        config_string(agent, "CTMS_ACOUSTIC_CLIENT_SECRET"),
                        config_string(agent, "CTMS_ACOUSTIC_REFRESH_TOKEN"));
    errand = send_errand(d, url, &form);
    if (errand && !errand->problem)
        judge_login(d, errand);
    else
        doctor_fail(d, "May this machine reach it, through a firewall or proxy?", "no answer: %s",
                    errand ? errand->problem : "timed out");
    errand_free(errand);
}

/* ---- keys of Pub/Sub
 * ----------------------------------------------------------------------------- */

/* Keys that tokens may be signed with. */
static int
count_keys(const struct errand *errand, int *weak)
{
    json_t *body = json_loadb(buf_text(&errand->answer), errand->answer.length, 0, NULL);
    int count = 0;
    json_t *key;
    size_t i;

    *weak = 0;
    json_array_foreach(json_object_get(body, "keys"), i, key)
    {
        const char *type = json_string_value(json_object_get(key, "kty"));
        const char *use = json_string_value(json_object_get(key, "use"));

        if (!type || strcmp(type, "RSA") != 0 || (use && strcmp(use, "sig") != 0) ||
            !json_is_string(json_object_get(key, "kid")) ||
            !json_is_string(json_object_get(key, "e")))
            continue;
        if (json_string_length(json_object_get(key, "n")) < MODULUS_CHARACTERS)
            ++*weak;
        else
            count++;
    }
    json_decref(body);
    return count;
}

static void
judge_keys(struct doctor *d, const struct errand *errand)
{
    int weak;
    int count = count_keys(errand, &weak);

    if (errand->status != 200)
        doctor_fail(d, "Is CTMS_PUBSUB_JWKS_URL right?", "no keys: HTTP %d", errand->status);
    else if (count == 0)
        doctor_fail(d, "Is CTMS_PUBSUB_JWKS_URL right?",
                    weak > 0 ? "all keys have fewer than 2048 bits" : "the answer has no keys");
    else
        doctor_ok(d, "%d keys for the tokens of Pub/Sub", count);
}

void
doctor_check_keys(struct doctor *d)
{
    const config *rest = d->settings[DOCTOR_REST];
    struct errand *errand;
    buf form = BUF_INIT;

    if (!rest || !config_string(rest, "CTMS_PUBSUB_EMAIL")) {
        doctor_skip(
            d, "not checked: needs the settings of a ctms-rest that takes messages of Pub/Sub");
        return;
    }
    if (!config_string(rest, "CTMS_PUBSUB_CLIENT"))
        doctor_warn(d, "Set it, as the subscription in Pub/Sub has it in its URL.",
                    "CTMS_PUBSUB_CLIENT is not set: messages of Pub/Sub are refused");
    errand = send_errand(d, config_string(rest, "CTMS_PUBSUB_JWKS_URL"), &form);
    if (errand && !errand->problem)
        judge_keys(d, errand);
    else
        doctor_fail(d, "May this machine reach it, through a firewall or proxy?", "no answer: %s",
                    errand ? errand->problem : "timed out");
    errand_free(errand);
}
