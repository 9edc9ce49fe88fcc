// The smallest agent that pays: $12 to Stripe, with the official SDK and not a word about outgo.
//   npm install && STRIPE_API_KEY=sk_test_… outgo run -- node agent.mjs
// outgo's policy decides whether the payment is made, held for a person, or refused with an ordinary StripeError.
import Stripe from 'stripe';

const stripe = new Stripe(process.env.STRIPE_API_KEY);
const intent = await stripe.paymentIntents.create({
  amount: 1200,
  currency: 'usd',
  confirm: true,
  payment_method: 'pm_card_visa',
  automatic_payment_methods: { enabled: true, allow_redirects: 'never' },
});
console.log(`${intent.status}: $12 (${intent.id})`);
