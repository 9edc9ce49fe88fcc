// An ordinary stripe-node program that moves money by /v2 of Stripe's API, and prints one line of JSON for each call. It
// knows nothing of outgo.
import Stripe from 'stripe';

const stripe = new Stripe(process.env.STRIPE_API_KEY ?? 'sk_test_outgo');
const { moneyManagement, billing, core } = stripe.v2;
const from = { financial_account: 'fa_1', currency: 'usd' };
const to = { recipient: 'acct_2', payout_method: 'usba_3' };

async function call(name, made) {
  try {
    const reply = await made;
    console.log(JSON.stringify({ name, ok: true, id: reply.id ?? '' }));
  } catch (err) {
    console.log(JSON.stringify({ name, ok: false, type: err.type, code: err.code, statusCode: err.statusCode }));
  }
}

const pay = (value, currency) => moneyManagement.outboundPayments.create({
  from, to, amount: { value, currency }, description: 'Rent “November”\n1/2 <b>', metadata: { 'Order No.': '7' },
});
await call('pay', pay(1500, 'usd'));
await call('pay too much', pay(25000, 'usd'));
await call('pay at an unknown rate', pay(1500, 'eur'));
await call('intend', moneyManagement.payoutIntents.create({ from, to, amount: { value: 800, currency: 'usd' }, confirmation_method: 'manual' }));
await call('confirm', moneyManagement.payoutIntents.confirm('poi_1'));
await call('pull', moneyManagement.inboundTransfers.create({
  from: { payment_method: 'usba_1' }, to: { financial_account: 'fa_1', currency: 'usd' }, amount: { value: 70, currency: 'usd' },
}));
await call('count', billing.meterEvents.create({ event_name: 'tokens', payload: { stripe_customer_id: 'cus_1', Tokens: '25' } }));
await call('payee', core.accounts.create({ contact_email: 'a@b.example', include: ['identity'] }));
await call('hear no more', core.eventDestinations.del('ed_1'));
await call('read', moneyManagement.payoutIntents.retrieve('poi_1'));
await call('twice', stripe.rawRequest('POST', '/v2/money_management/outbound_payments', { from, to, amount: { value: 1, currency: 'usd' }, AMOUNT: { value: 9 } }));
