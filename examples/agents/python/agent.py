# The smallest agent that pays: $12 to Stripe, with the official SDK and not a word about outgo.
#   pip install -r requirements.txt && STRIPE_API_KEY=sk_test_… outgo run -- python3 agent.py
# outgo's policy decides whether the payment is made, held for a person, or refused with an ordinary StripeError.
import os

import stripe

stripe.api_key = os.environ["STRIPE_API_KEY"]
intent = stripe.PaymentIntent.create(
    amount=1200,
    currency="usd",
    confirm=True,
    payment_method="pm_card_visa",
    automatic_payment_methods={"enabled": True, "allow_redirects": "never"},
)
print(intent.status + ": $12", intent.id)
