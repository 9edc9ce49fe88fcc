// An ordinary stripe-node program, with the SDK's defaults: it creates and confirms one PaymentIntent and prints one line
// of JSON. It knows nothing of outgo.
//
//   node pay.mjs 1200 usd
//
// STRIPE_API_KEY is the key. STRIPE_API_BASE, such as http://127.0.0.1:12111, is where to send it instead of Stripe;
// PAYMENT_METHOD is the test card.
import Stripe from 'stripe';

const [amount, currency] = process.argv.slice(2);
const base = process.env.STRIPE_API_BASE && new URL(process.env.STRIPE_API_BASE);
const stripe = new Stripe(process.env.STRIPE_API_KEY ?? 'sk_test_outgo', base && {
  host: base.hostname,
  port: base.port || (base.protocol === 'https:' ? 443 : 80),
  protocol: base.protocol.slice(0, -1),
});

try {
  const intent = await stripe.paymentIntents.create({
    amount: Number(amount),
    currency,
    confirm: true,
    payment_method: process.env.PAYMENT_METHOD ?? 'pm_card_visa',
    automatic_payment_methods: { enabled: true, allow_redirects: 'never' },
  });
  console.log(JSON.stringify({ ok: true, id: intent.id, status: intent.status, amount: intent.amount }));
} catch (err) {
  console.log(JSON.stringify({ ok: false, type: err.type, code: err.code, message: err.message, statusCode: err.statusCode, requestId: err.requestId }));
  process.exitCode = 1;
}
