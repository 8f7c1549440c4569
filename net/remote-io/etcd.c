/*
 * remote-io directory in etcd: requests over HTTP
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/units.h"
#include "net/remote-io/etcd.h"

#ifdef CONFIG_CURL
#include <curl/curl.h>
#endif
#if defined(CONFIG_CURL) && LIBCURL_VERSION_NUM >= 0x074400

#include "qapi/error.h"
#include "qobject/qjson.h"
#include "qobject/qstring.h"

#define CONNECT_MS 3000l

/* How much longer all of an answer may take than the silence before it */
#define WHOLE 10

/*
 * How often a wait looks whether it was cancelled by who cannot wake it; a
 * stream belongs to somebody who can
 */
#define SLICE_MS 50
#define STREAM_SLICE_MS 1000

struct RioEtcd {
    const RioDirectory *directory;
    CURLM *multi;
    unsigned url;               /* the one that answered last */

    /* Of the request that is under way */
    GString *body;              /* what came and was not used */
    bool too_long;
    bool (*line)(void *opaque, const QDict *answer);    /* or NULL */
    void *opaque;
    bool answered;              /* with any status of HTTP */
    bool ended;                 /* by @line, or because nothing came */
    Error *refusal;             /* etcd's own, in a stream */
    int64_t began_us;
    int64_t heard_us;           /* when something came last */
    int64_t patience_us;        /* without that */
};

bool rio_etcd_available(Error **errp)
{
    static bool ready;

    if (!ready && curl_global_init(CURL_GLOBAL_ALL)) {
        error_setg(errp, "libcurl does not start");
        return false;
    }
    ready = true;
    return true;
}

RioEtcd *rio_etcd_new(const RioDirectory *d)
{
    RioEtcd *e = g_new0(RioEtcd, 1);

    e->directory = d;
    e->multi = curl_multi_init();
    e->body = g_string_new(NULL);
    return e;
}

void rio_etcd_free(RioEtcd *e)
{
    if (e) {
        curl_multi_cleanup(e->multi);
        g_string_free(e->body, true);
        error_free(e->refusal);
        g_free(e);
    }
}

void rio_etcd_wake(RioEtcd *e)
{
    curl_multi_wakeup(e->multi);
}

bool rio_etcd_answered(const RioEtcd *e)
{
    return e->answered;
}

/* --- what comes --- */

/* The reason is {"error": TEXT}, in a stream {"error": {"message": TEXT}} */
static const char *refusal(const QDict *answer)
{
    QObject *error = qdict_get(answer, "error");
    QDict *dict = qobject_to(QDict, error);
    QString *text = qobject_to(QString, error);

    return dict ? qdict_get_try_str(dict, "message") ?: "no reason" :
           text ? qstring_get_str(text) : NULL;
}

static QDict *parse(const char *text, Error **errp)
{
    QObject *obj = qobject_from_json(text, errp);
    QDict *dict = qobject_to(QDict, obj);

    if (obj && !dict) {
        error_setg(errp, "the answer is no object");
        qobject_unref(obj);
    }
    return dict;
}

static void take_line(RioEtcd *e, const char *text)
{
    g_autoptr(QDict) answer = parse(text, &e->refusal);
    const char *why = answer ? refusal(answer) : NULL;

    if (why) {
        error_setg(&e->refusal, "%s", why);
    }
    e->ended = e->refusal || !e->line(e->opaque, answer);
}

/* A stream is one object per line */
static void take_lines(RioEtcd *e)
{
    char *end;

    while (!e->ended && (end = memchr(e->body->str, '\n', e->body->len))) {
        *end = '\0';
        if (end > e->body->str) {
            take_line(e, e->body->str);
        }
        g_string_erase(e->body, 0, end + 1 - e->body->str);
    }
}

static size_t received(char *data, size_t size, size_t count, void *opaque)
{
    RioEtcd *e = opaque;

    if (e->body->len + size * count > RIO_DIRECTORY_MAX_BYTES) {
        e->too_long = true;
        return 0;
    }
    g_string_append_len(e->body, data, size * count);
    e->heard_us = g_get_monotonic_time();
    if (e->line) {
        take_lines(e);
    }
    return e->ended ? 0 : size * count;
}

/* --- one request --- */

static CURL *prepare(RioEtcd *e, const char *url, const char *body,
                     struct curl_slist *headers, char *why)
{
    const RioDirectory *d = e->directory;
    CURL *easy = curl_easy_init();

    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, received);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, e);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1l);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1l);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    /* What the environment says about proxies is meant for people's traffic */
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    if (d->cacert) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, d->cacert);
    }
    if (d->cert) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, d->cert);
    }
    if (d->key) {
        curl_easy_setopt(easy, CURLOPT_SSLKEY, d->key);
    }
    return easy;
}

/* Also of an answer that comes byte by byte, and would take for ever */
static bool is_late(const RioEtcd *e)
{
    int64_t now = g_get_monotonic_time();

    return now - e->heard_us > e->patience_us ||
           (!e->line && now - e->began_us > WHOLE * e->patience_us);
}

static bool cancelled(const bool *cancel)
{
    return cancel && qatomic_read(cancel);
}

/* Returns: CURLE_OK, or why it ended; CURLE_AGAIN: cancelled */
static CURLcode run(RioEtcd *e, const bool *cancel)
{
    CURLMsg *msg;
    int running = 1, left;

    while (running) {
        curl_multi_perform(e->multi, &running);
        if (cancelled(cancel)) {
            return CURLE_AGAIN;
        }
        if (running && is_late(e)) {
            return CURLE_OPERATION_TIMEDOUT;
        }
        if (running) {
            curl_multi_poll(e->multi, NULL, 0,
                            e->line ? STREAM_SLICE_MS : SLICE_MS, NULL);
        }
    }
    while ((msg = curl_multi_info_read(e->multi, &left))) {
        if (msg->msg == CURLMSG_DONE) {
            return msg->data.result;
        }
    }
    return CURLE_RECV_ERROR;
}

static CURLcode ask_one(RioEtcd *e, const char *url, const char *body,
                        const bool *cancel, long *status, char *why)
{
    struct curl_slist *headers =
        curl_slist_append(NULL, "Content-Type: application/json");
    CURL *easy;
    CURLcode code;

    *why = '\0';
    *status = 0;
    g_string_truncate(e->body, 0);
    e->began_us = e->heard_us = g_get_monotonic_time();
    easy = prepare(e, url, body, headers, why);
    curl_multi_add_handle(e->multi, easy);
    code = run(e, cancel);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, status);
    e->answered = *status;
    curl_multi_remove_handle(e->multi, easy);
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
    return code;
}

/* One URL after the other, beginning with the one that answered last */
static bool ask(RioEtcd *e, const char *path, QDict *request,
                const bool *cancel, long *status, Error **errp)
{
    g_autoptr(GString) body = qobject_to_json(QOBJECT(request));
    unsigned urls = g_strv_length(e->directory->urls);
    char why[CURL_ERROR_SIZE];
    CURLcode code = CURLE_OK;

    qobject_unref(request);
    e->too_long = e->ended = false;
    for (unsigned i = 0; i < urls; i++) {
        const char *base = e->directory->urls[e->url];
        g_autofree char *url = g_strdup_printf("%s/v3/%s", base, path);

        code = ask_one(e, url, body->str, cancel, status, why);
        if (code == CURLE_OPERATION_TIMEDOUT && e->line && *status) {
            e->ended = true;    /* it was there, and had nothing to say */
        }
        if (code == CURLE_OK || code == CURLE_AGAIN || e->ended) {
            return true;
        }
        error_free(errp ? *errp : NULL);
        if (errp) {
            *errp = NULL;
        }
        error_setg(errp, "etcd at %s: %s", base, e->too_long ?
                   "the answer is too long" : code ==
                   CURLE_OPERATION_TIMEDOUT ? "no answer in time" :
                   *why ? why : curl_easy_strerror(code));
        e->url = (e->url + 1) % urls;
    }
    return false;
}

QDict *rio_etcd_call(RioEtcd *e, const char *path, QDict *request,
                     int64_t timeout_ms, const bool *cancel, Error **errp)
{
    ERRP_GUARD();
    QDict *answer;
    const char *why;
    long status;

    e->line = NULL;
    e->patience_us = timeout_ms * 1000;
    if (!ask(e, path, request, cancel, &status, errp)) {
        return NULL;
    }
    if (cancelled(cancel)) {
        error_setg(errp, "cancelled");
        return NULL;
    }
    answer = parse(e->body->str, errp);
    why = answer ? refusal(answer) : NULL;
    if (why) {
        error_setg(errp, "%s", why);
    } else if (answer && status != 200) {
        error_setg(errp, "HTTP status %ld", status);
    }
    if (*errp) {
        error_prepend(errp, "etcd at %s: %s: ", e->directory->urls[e->url],
                      path);
        qobject_unref(answer);
        return NULL;
    }
    return answer;
}

bool rio_etcd_stream(RioEtcd *e, const char *path, QDict *request,
                     int64_t idle_ms, const bool *cancel,
                     bool (*line)(void *opaque, const QDict *answer),
                     void *opaque, Error **errp)
{
    ERRP_GUARD();
    long status;
    bool ok;

    e->line = line;
    e->opaque = opaque;
    e->patience_us = idle_ms * 1000;
    ok = ask(e, path, request, cancel, &status, errp);
    if (e->refusal) {
        error_prepend(&e->refusal, "etcd at %s: %s: ",
                      e->directory->urls[e->url], path);
        error_propagate(errp, g_steal_pointer(&e->refusal));
        return false;
    }
    if (ok && !e->ended && !cancelled(cancel)) {
        error_setg(errp, "etcd at %s: %s: it has ended (HTTP status %ld)",
                   e->directory->urls[e->url], path, status);
        return false;
    }
    return ok;
}

#else

#include "qapi/error.h"

bool rio_etcd_available(Error **errp)
{
    error_setg(errp, "this build cannot ask etcd: install libcurl 7.68 or "
               "later (Debian: libcurl4-gnutls-dev), then run configure and "
               "make again");
    return false;
}

RioEtcd *rio_etcd_new(const RioDirectory *d)
{
    g_assert_not_reached();
}

void rio_etcd_free(RioEtcd *e)
{
}

void rio_etcd_wake(RioEtcd *e)
{
}

bool rio_etcd_answered(const RioEtcd *e)
{
    return false;
}

QDict *rio_etcd_call(RioEtcd *e, const char *path, QDict *request,
                     int64_t timeout_ms, const bool *cancel, Error **errp)
{
    g_assert_not_reached();
}

bool rio_etcd_stream(RioEtcd *e, const char *path, QDict *request,
                     int64_t idle_ms, const bool *cancel,
                     bool (*line)(void *opaque, const QDict *answer),
                     void *opaque, Error **errp)
{
    g_assert_not_reached();
}

#endif
