"""An ordinary Python payment program, on the standard library alone: it creates and confirms one PaymentIntent and prints
one line of JSON. It knows nothing of outgo. Its requests are shaped as stripe-python's module API sends them: the headers,
the form encoding, an Idempotency-Key on every POST that all attempts share, two retries on a lost connection, 409, 5xx and
whatever Stripe-Should-Retry says.

    python3 pay.py 1200 usd

STRIPE_API_KEY is the key. STRIPE_API_BASE, such as http://127.0.0.1:12111, is where to send it instead of Stripe;
PAYMENT_METHOD is the test card.
"""
import json
import os
import platform
import random
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

VERSION = "15.3.1"  # of the stripe-python whose requests these resemble
TIMEOUT = 80  # seconds, per attempt
RETRIES = 2
FIRST_DELAY, LONGEST_DELAY = 0.5, 5.0  # seconds


def encode(params, prefix=None):
    """Flattens nested parameters: {"a": {"b": [1]}} becomes a[b][0]=1."""
    pairs = []
    items = params.items() if isinstance(params, dict) else enumerate(params)
    for key, value in items:
        name = "%s[%s]" % (prefix, key) if prefix else key
        if isinstance(value, (dict, list)):
            pairs += encode(value, name)
        elif isinstance(value, bool):
            pairs.append((name, "true" if value else "false"))
        elif value is not None:
            pairs.append((name, str(value)))
    return pairs


def headers(key, idempotency_key):
    agent = {
        "bindings_version": VERSION,
        "lang": "python",
        "publisher": "stripe",
        "httplib": "urllib.request",
        "lang_version": platform.python_version(),
    }
    return {
        "X-Stripe-Client-User-Agent": json.dumps(agent),
        "User-Agent": "Stripe/v1 PythonBindings/" + VERSION,
        "Authorization": "Bearer " + key,
        "Content-Type": "application/x-www-form-urlencoded",
        "Idempotency-Key": idempotency_key,
        "Stripe-Version": "2026-08-26.dahlia",
    }


def once(request):
    """One attempt: (status, headers, body). No answer at all raises OSError."""
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:
            return reply.status, reply.headers, reply.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers, refused.read()


def should_retry(status, reply_headers):
    told = reply_headers.get("Stripe-Should-Retry")
    if told in ("true", "false"):
        return told == "true"
    return status == 409 or status >= 500


def post(url, key, params):
    """Sends a POST as often as the retry rule says and returns the last answer: (status, headers, body)."""
    body = urllib.parse.urlencode(encode(params)).encode()
    fields = headers(key, str(uuid.uuid4()))
    for attempt in range(RETRIES + 1):
        last = attempt == RETRIES
        try:
            # A Request that has gone through a proxy is changed by it, so each attempt has its own.
            status, reply_headers, reply = once(urllib.request.Request(url, data=body, headers=fields, method="POST"))
        except OSError:
            if last:
                raise
        else:
            if last or not should_retry(status, reply_headers):
                return status, reply_headers, reply
        delay = min(FIRST_DELAY * 2**attempt, LONGEST_DELAY)
        time.sleep(max(FIRST_DELAY, delay * 0.5 * (1 + random.random())))


ERROR_TYPES = {
    400: "InvalidRequestError",
    401: "AuthenticationError",
    402: "CardError",
    403: "PermissionError",
    404: "InvalidRequestError",
    429: "RateLimitError",
}


def main():
    amount, currency = sys.argv[1:]
    base = os.environ.get("STRIPE_API_BASE", "https://api.stripe.com").rstrip("/")
    params = {
        "amount": int(amount),
        "currency": currency,
        "confirm": True,
        "payment_method": os.environ.get("PAYMENT_METHOD", "pm_card_visa"),
        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
    }
    try:
        status, fields, reply = post(base + "/v1/payment_intents", os.environ.get("STRIPE_API_KEY", "sk_test_outgo"), params)
        answer = json.loads(reply)
    except (OSError, ValueError) as failure:
        print(json.dumps({"ok": False, "type": "APIConnectionError", "code": None, "message": str(failure), "statusCode": None}))
        return 1
    if 200 <= status < 300:
        print(json.dumps({"ok": True, "id": answer["id"], "status": answer["status"], "amount": answer["amount"]}))
        return 0
    error = answer.get("error", {})
    kind = ERROR_TYPES.get(status, "APIError")
    print(json.dumps({"ok": False, "type": kind, "code": error.get("code"), "message": error.get("message"), "statusCode": status, "requestId": fields.get("Request-Id")}))
    return 1


if __name__ == "__main__":
    sys.exit(main())
