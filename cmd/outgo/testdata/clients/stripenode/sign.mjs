// Prints the Stripe-Signature that stripe-node makes for the body on standard input, with the secret in SECRET.
import Stripe from 'stripe';
import { readFileSync } from 'node:fs';

const payload = readFileSync(0, 'utf8');
console.log(Stripe.webhooks.generateTestHeaderString({ payload, secret: process.env.SECRET }));
