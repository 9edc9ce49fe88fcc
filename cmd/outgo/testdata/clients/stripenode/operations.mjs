// An ordinary stripe-node program, with the SDK's defaults: it makes one call of each kind that ../operations.tsv lists
// for it and prints one line of JSON for each, in order. It knows nothing of outgo.
//
//   node operations.mjs
//
// STRIPE_API_KEY is the key.
import Stripe from 'stripe';

const stripe = new Stripe(process.env.STRIPE_API_KEY ?? 'sk_test_outgo');

const shirt = { currency: 'usd', unit_amount: 1500, product_data: { name: 'T-shirt' } };
const monthly = { currency: 'eur', unit_amount: 700, product: 'prod_1', recurring: { interval: 'month' } };

const v2 = stripe.v2.moneyManagement;

const calls = {
  'charge': () => stripe.charges.create({ amount: 2000, currency: 'usd', source: 'tok_visa', description: 'Charge for jenny & co; 50% = "half"' }),
  'charge in yen for another account': () => stripe.charges.create({ amount: 5000, currency: 'jpy', source: 'tok_visa', transfer_data: { destination: 'acct_7' } }),
  'charge held only': () => stripe.charges.create({ amount: 2001, currency: 'usd', source: 'tok_visa', capture: false }),
  'charge of a connected account': () => stripe.charges.create({ amount: 300, currency: 'usd', source: 'tok_visa' }, { stripeAccount: 'acct_8' }),
  'capture of a part of a charge': () => stripe.charges.capture('ch_105', { amount: 60 }),
  'capture of a charge': () => stripe.charges.capture('ch_106'),
  'update of a charge': () => stripe.charges.update('ch_107', { metadata: { order_id: '6735' } }),
  'payment intent': () => stripe.paymentIntents.create({ amount: 1099, currency: 'eur', automatic_payment_methods: { enabled: true } }),
  'payment intent in dinar, confirmed': () => stripe.paymentIntents.create({ amount: 12340, currency: 'kwd', confirm: true, payment_method: 'pm_card_visa', off_session: true }),
  'update of a payment intent': () => stripe.paymentIntents.update('pi_110', { amount: 999999 }),
  'confirmation': () => stripe.paymentIntents.confirm('pi_111', { payment_method: 'pm_card_visa', return_url: 'https://shop.example/back?a=1&b=2' }),
  'capture of a payment intent': () => stripe.paymentIntents.capture('pi_112', { amount_to_capture: 750 }),
  'increment': () => stripe.paymentIntents.incrementAuthorization('pi_113', { amount: 2099 }),
  'cancellation of a payment intent': () => stripe.paymentIntents.cancel('pi_114', { cancellation_reason: 'duplicate' }),
  'refund of a part': () => stripe.refunds.create({ charge: 'ch_115', amount: 40, reason: 'requested_by_customer' }),
  'refund without an amount': () => stripe.refunds.create({ charge: 'ch_116' }),
  'refund of a payment intent': () => stripe.refunds.create({ payment_intent: 'pi_117' }),
  'update of a refund': () => stripe.refunds.update('re_118', { metadata: { a: 'b' } }),
  'transfer': () => stripe.transfers.create({ amount: 400, currency: 'usd', destination: 'acct_9', transfer_group: 'ORDER_95' }),
  'reversal of a transfer': () => stripe.transfers.createReversal('tr_120', { amount: 100 }),
  'payout': () => stripe.payouts.create({ amount: 1100, currency: 'eur', destination: 'ba_1', method: 'instant' }),
  'cancellation of a topup': () => stripe.topups.cancel('tu_122'),
  'reversal of a payout': () => stripe.payouts.reverse('po_123'),
  'refund of an application fee': () => stripe.applicationFees.createRefund('fee_124', { amount: 25 }),
  'topup': () => stripe.topups.create({ amount: 2500, currency: 'usd', description: 'Top-up for Jenny', source: 'src_1' }),
  'customer': () => stripe.customers.create({ email: 'jenny+rosen@example.com', name: 'Jenny Rosen', address: { city: 'Köln', country: 'DE' } }),
  'customer with credit': () => stripe.customers.create({ email: 'jenny@example.com', balance: -5000 }),
  'credit for a customer': () => stripe.customers.update('cus_128', { balance: -5000 }),
  'update of a customer': () => stripe.customers.update('cus_129', { metadata: { order_id: '6735' }, description: '' }),
  'balance transaction': () => stripe.customers.createBalanceTransaction('cus_130', { amount: -500, currency: 'usd' }),
  'card saved': () => stripe.customers.createSource('cus_131', { source: 'tok_mastercard' }),
  'setup intent': () => stripe.setupIntents.create({ payment_method_types: ['card'], confirm: true, payment_method: 'pm_card_visa' }),
  'payment method attached': () => stripe.paymentMethods.attach('pm_133', { customer: 'cus_133' }),
  'account': () => stripe.accounts.create({ type: 'custom', country: 'US', email: 'jenny@example.com', capabilities: { transfers: { requested: true } } }),
  'account link': () => stripe.accountLinks.create({ account: 'acct_135', refresh_url: 'https://shop.example/reauth', return_url: 'https://shop.example/return', type: 'account_onboarding' }),
  'external account': () => stripe.accounts.createExternalAccount('acct_136', { external_account: 'btok_1' }),
  'issued card': () => stripe.issuing.cards.create({ cardholder: 'ich_1', currency: 'usd', type: 'virtual', spending_controls: { spending_limits: [{ amount: 50000, interval: 'daily' }] } }),
  'approval of an authorization': () => stripe.issuing.authorizations.approve('iauth_138', { amount: 900 }),
  'outbound payment': () => stripe.treasury.outboundPayments.create({ financial_account: 'fa_139', amount: 10000, currency: 'usd', customer: 'cus_139', destination_payment_method: 'pm_2' }),
  'outbound transfer': () => stripe.treasury.outboundTransfers.create({ financial_account: 'fa_140', destination_payment_method: 'pm_3', amount: 500, currency: 'usd' }),
  'draft invoice': () => stripe.invoices.create({ customer: 'cus_141', auto_advance: false }),
  'invoice that charges by itself': () => stripe.invoices.create({ customer: 'cus_142', auto_advance: true, pending_invoice_items_behavior: 'include' }),
  'finalization': () => stripe.invoices.finalizeInvoice('in_143', { auto_advance: true }),
  'payment of an invoice': () => stripe.invoices.pay('in_144'),
  'invoice paid elsewhere': () => stripe.invoices.pay('in_145', { paid_out_of_band: true }),
  'invoice sent': () => stripe.invoices.sendInvoice('in_146'),
  'invoice item': () => stripe.invoiceItems.create({ customer: 'cus_147', amount: 650, currency: 'usd', description: 'One-time setup fee' }),
  'subscription': () => stripe.subscriptions.create({ customer: 'cus_148', items: [{ price_data: monthly, quantity: 3 }] }),
  'subscription to a price': () => stripe.subscriptions.create({ customer: 'cus_149', items: [{ price: 'price_149' }], trial_period_days: 30 }),
  'update of a subscription': () => stripe.subscriptions.update('sub_150', { items: [{ id: 'si_QXhVBoJ7NQdNXh', price: 'price_150', quantity: 5 }], proration_behavior: 'always_invoice' }),
  'cancellation of a subscription': () => stripe.subscriptions.cancel('sub_151'),
  'cancellation with an invoice': () => stripe.subscriptions.cancel('sub_152', { invoice_now: true, prorate: true }),
  'checkout session': () => stripe.checkout.sessions.create({ mode: 'payment', success_url: 'https://shop.example/success', line_items: [{ price_data: shirt, quantity: 2 }] }),
  'checkout session that saves a card': () => stripe.checkout.sessions.create({ mode: 'setup', currency: 'usd', success_url: 'https://shop.example/success', customer: 'cus_154' }),
  'payment link': () => stripe.paymentLinks.create({ line_items: [{ price: 'price_155', quantity: 1 }] }),
  'quote accepted': () => stripe.quotes.accept('qt_156'),
  'credit note': () => stripe.creditNotes.create({ invoice: 'in_157', amount: 200 }),
  'dispute closed': () => stripe.disputes.close('dp_158'),
  'coupon': () => stripe.coupons.create({ percent_off: 25.5, duration: 'repeating', duration_in_months: 3 }),
  'product': () => stripe.products.create({ name: 'Gold Special', active: false, metadata: { amount: '999999' } }),
  'price': () => stripe.prices.create({ unit_amount: 2000, currency: 'usd', recurring: { interval: 'month' }, product: 'prod_1' }),
  'webhook endpoint': () => stripe.webhookEndpoints.create({ url: 'https://shop.example/my/webhook/endpoint', enabled_events: ['charge.failed', 'charge.succeeded'] }),
  'ephemeral key': () => stripe.ephemeralKeys.create({ customer: 'cus_163' }, { apiVersion: '2026-08-26.dahlia' }),
  'file': () => stripe.files.create({ purpose: 'dispute_evidence', file: { data: Buffer.from('amount=999999&confirm=true'), name: 'note.txt', type: 'text/plain' } }),
  'balance': () => stripe.balance.retrieve(),
  'outbound payment of v2': () => v2.outboundPayments.create({ from: { financial_account: 'fa_2', currency: 'usd' }, to: { recipient: 'acct_5', payout_method: 'usba_1', currency: 'usd' }, amount: { value: 1234, currency: 'usd' }, description: 'naïve "quotes" <&>' }),
  'payout intent of v2': () => v2.payoutIntents.create({ from: { financial_account: 'fa_3', currency: 'eur' }, to: { recipient: 'acct_6', currency: 'eur' }, amount: { value: 4321, currency: 'eur' } }),
  'inbound transfer of v2': () => v2.inboundTransfers.create({ from: { payment_method: 'pm_4', currency: 'usd' }, to: { financial_account: 'fa_4', currency: 'usd' }, amount: { value: 777, currency: 'usd' } }),
  'cancellation of an outbound payment of v2': () => v2.outboundPayments.cancel('obmt_9'),
  'payee of v2': () => v2.outboundSetupIntents.create({ payout_method: 'usba_2', usage_intent: 'payment' }),
};

for (const [name, call] of Object.entries(calls)) {
  try {
    const made = await call();
    console.log(JSON.stringify({ name, ok: true, object: made.object }));
  } catch (err) {
    console.log(JSON.stringify({ name, ok: false, type: err.type, code: err.code, message: err.message, statusCode: err.statusCode }));
  }
}
