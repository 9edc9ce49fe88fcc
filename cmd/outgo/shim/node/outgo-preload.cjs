'use strict';
// Loaded into every Node process that runs under outgo, by NODE_OPTIONS=--require. It sends TLS connections through the
// proxy of HTTPS_PROXY, also those of SDKs that bring an https.Agent of their own, which Node's NODE_USE_ENV_PROXY leaves
// out. It needs no package and works on Node 20 and later.
//
// Two places are patched. https.Agent.prototype.createConnection: an agent that does not override it gets a TLS socket
// over a tunnel, made asynchronously. tls.connect: whoever calls it directly for HTTP (an agent that overrides
// createConnection, undici, WebSocket libraries) gets its socket at once, over a stream that waits for the tunnel.
// Proxy agents of other packages call tls.connect with a socket that they have tunnelled already: those pass untouched.
// Plain http: requests are left to Node, and so is fetch where Node's own environment proxy takes care of it (22.21, 24.5
// and later; its errors name the status of a refusal, not the proxy's words).

const https = require('node:https');
const net = require('node:net');
const tls = require('node:tls');
const { Duplex } = require('node:stream');
const { syncBuiltinESMExports } = require('node:module');

const PATCHED = Symbol.for('outgo.preload');
const proxyURL = process.env.HTTPS_PROXY || process.env.https_proxy;

if (proxyURL && !https.Agent.prototype[PATCHED]) {
  try {
    patch(new URL(proxyURL));
  } catch (err) {
    process.emitWarning(`HTTPS_PROXY cannot be used: ${err.message}`, 'OutgoWarning');
  }
}

function patch(proxy) {
  const tlsConnect = tls.connect;
  const proxyHost = bare(proxy.hostname);
  const proxyPort = Number(proxy.port) || (proxy.protocol === 'https:' ? 443 : 80);
  const authorization = proxy.username
    ? 'Basic ' + Buffer.from(decodeURIComponent(proxy.username) + ':' + decodeURIComponent(proxy.password)).toString('base64')
    : '';

  // dial connects to the proxy itself.
  function dial() {
    return proxy.protocol === 'https:'
      ? tlsConnect({ host: proxyHost, port: proxyPort, servername: net.isIP(proxyHost) ? '' : proxyHost, ALPNProtocols: ['http/1.1'] })
      : net.connect({ host: proxyHost, port: proxyPort });
  }

  // tunnel asks the proxy for a connection to host:port and calls done(err) or done(null, socket), once. It returns a
  // function that gives up.
  function tunnel(host, port, timeout, done) {
    const target = net.isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
    const socket = dial();
    let head = Buffer.alloc(0);
    let settled = false;
    const finish = (err) => {
      if (settled) return;
      settled = true;
      socket.removeListener('data', onData);
      socket.removeListener('end', onEnd);
      socket.removeListener('close', onEnd);
      socket.removeListener('error', finish);
      socket.removeListener('timeout', onTimeout);
      socket.setTimeout(0);
      if (err) {
        socket.on('error', () => {});
        socket.destroy();
        done(err);
      } else {
        done(null, socket);
      }
    };
    const onEnd = () => finish(refusal(target, head) || failure(`proxy ${proxy.host} closed the connection before it answered CONNECT ${target}`, 'ECONNRESET'));
    const onTimeout = () => finish(refusal(target, head) || failure(`proxy ${proxy.host} did not answer CONNECT ${target} in time`, 'ETIMEDOUT'));
    const onData = (chunk) => {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) {
        if (head.length > 65536) finish(failure(`proxy ${proxy.host} answered CONNECT ${target} without end`, 'EPROTO'));
        return;
      }
      if (/^HTTP\/1\.[01] 2\d\d/.test(head.toString('latin1', 0, 12))) {
        const rest = head.subarray(end + 4);
        socket.pause();
        if (rest.length > 0) socket.unshift(rest);
        finish();
        return;
      }
      // The body of a refusal says why: wait for it, but not for long.
      socket.setTimeout(2000);
      if (complete(head, end)) finish(refusal(target, head));
    };
    socket.on('data', onData);
    socket.on('end', onEnd);
    socket.on('close', onEnd);
    socket.on('error', finish);
    socket.on('timeout', onTimeout);
    if (timeout > 0) socket.setTimeout(timeout);
    socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n` + (authorization ? `Proxy-Authorization: ${authorization}\r\n` : '') + '\r\n');
    return () => finish(failure('connection given up', 'ECONNABORTED'));
  }

  // Tunnel is a stream to host:port that holds back what is written until the proxy has answered.
  class Tunnel extends Duplex {
    constructor(host, port, timeout) {
      super({ allowHalfOpen: true });
      this.socket = null;
      this.held = null;
      this.kept = true; // whether it keeps the process alive
      this.cancel = tunnel(host, port, timeout, (err, socket) => {
        if (err || this.destroyed) {
          if (socket) socket.destroy();
          this.destroy(err);
          return;
        }
        this.attach(socket);
      });
    }

    attach(socket) {
      this.socket = socket;
      if (!this.kept) socket.unref();
      socket.setNoDelay(true);
      socket.on('data', (chunk) => { if (!this.push(chunk)) socket.pause(); });
      socket.on('end', () => this.push(null));
      socket.on('error', (err) => this.destroy(err));
      socket.on('close', () => this.destroy());
      const held = this.held;
      this.held = null;
      if (held) held();
      socket.resume();
    }

    ref() { this.kept = true; if (this.socket) this.socket.ref(); }
    unref() { this.kept = false; if (this.socket) this.socket.unref(); }
    _read() { if (this.socket) this.socket.resume(); }
    _write(chunk, encoding, done) {
      if (this.socket) this.socket.write(chunk, encoding, done);
      else this.held = () => this.socket.write(chunk, encoding, done);
    }
    _final(done) {
      if (this.socket) this.socket.end(done);
      else this.held = () => this.socket.end(done);
    }
    _destroy(err, done) {
      if (this.socket) this.socket.destroy();
      else if (this.cancel) this.cancel();
      done(err);
    }
  }

  // 1. Agents.
  const createConnection = https.Agent.prototype.createConnection;
  https.Agent.prototype.createConnection = function (...args) {
    const [options, done] = args;
    const plain = options !== null && typeof options === 'object' && typeof done === 'function' && this.createConnection === https.Agent.prototype.createConnection;
    if (!plain || !proxied(options)) return createConnection.apply(this, args);
    tunnel(options.host || 'localhost', options.port || 443, options.timeout, (err, socket) => {
      if (err) return done(err);
      try {
        done(null, secure(this, options, socket));
      } catch (bad) {
        socket.destroy();
        done(bad);
      }
    });
    return undefined;
  };
  Object.defineProperty(https.Agent.prototype, PATCHED, { value: true });

  // secure starts TLS over a tunnel, with the agent's own cache of sessions as Node's createConnection keeps it.
  function secure(agent, options, socket) {
    const key = options._agentKey;
    const cached = key && typeof agent._getSession === 'function' ? agent._getSession(key) : undefined;
    const secured = tlsConnect({ ...(cached && { session: cached }), ...options, path: undefined, socket });
    if (options.timeout) secured.setTimeout(options.timeout);
    if (key && typeof agent._cacheSession === 'function') {
      secured.on('session', (session) => agent._cacheSession(key, session));
      secured.once('close', (failed) => { if (failed) agent._evictSession(key); });
    }
    return secured;
  }

  // 2. Everyone else.
  tls.connect = function connect(...args) {
    const { options, done } = normalize(args);
    if (!proxied(options) || !speaksHTTP(options)) return tlsConnect.apply(this, args);
    const stream = new Tunnel(options.host || 'localhost', Number(options.port) || 443, options.timeout);
    const secured = tlsConnect({ ...options, path: undefined, socket: stream }, done);
    stream.on('error', (err) => secured.destroy(err));
    // The TLS socket sits on a stream, not on a handle, and cannot pass these on by itself.
    for (const method of ['ref', 'unref']) {
      secured[method] = function () {
        stream[method]();
        return this;
      };
    }
    return secured;
  };

  // proxied says whether a connection is one to send through the proxy: over the network, not made yet, not to the proxy
  // itself, and not excepted by NO_PROXY.
  function proxied(options) {
    if (options.socket || options.socketPath || options.path) return false;
    const host = bare(String(options.host || 'localhost')).toLowerCase();
    const port = Number(options.port) || 443;
    if (host === proxyHost.toLowerCase() && port === proxyPort) return false;
    return !excepted(host, port);
  }

  syncBuiltinESMExports();
}

// bare takes the brackets off an IPv6 address.
function bare(host) {
  return host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
}

// normalize reads the ways to call tls.connect: (options), (port, options), (port, host, options), each with a callback.
function normalize(args) {
  const rest = [...args];
  const done = typeof rest.at(-1) === 'function' ? rest.pop() : undefined;
  const options = {};
  for (const [i, arg] of rest.entries()) {
    if (arg !== null && typeof arg === 'object') Object.assign(options, arg);
    else if (i === 0 && (typeof arg === 'number' || /^\d+$/.test(String(arg)))) options.port = Number(arg);
    else if (i === 0 && typeof arg === 'string') options.path = arg;
    else if (typeof arg === 'string') options.host = arg;
  }
  return { options, done };
}

// speaksHTTP keeps databases, mail and brokers out of the proxy: they call tls.connect too.
function speaksHTTP(options) {
  const alpn = Array.isArray(options.ALPNProtocols) ? options.ALPNProtocols.map(String) : [];
  return Number(options.port) === 443 || Boolean(options._agentKey || options.headers || options.createConnection) || alpn.includes('http/1.1') || alpn.includes('h2');
}

// excepted says whether NO_PROXY names the host: itself, a domain above it, or everything.
function excepted(host, port) {
  const list = process.env.NO_PROXY || process.env.no_proxy || '';
  return list.toLowerCase().split(/[\s,]+/).filter(Boolean).some((entry) => {
    if (entry === '*') return true;
    const [, at, on] = /^(.*?)(?::(\d+))?$/.exec(net.isIPv6(entry) ? `${entry}` : entry);
    const want = net.isIPv6(entry) ? entry : bare(at).replace(/^\*?\./, '');
    if (!net.isIPv6(entry) && on && Number(on) !== port) return false;
    return host === want || host.endsWith('.' + want);
  });
}

// complete says whether the whole body of a refusal has come.
function complete(head, end) {
  const length = /\r\ncontent-length:\s*(\d+)/i.exec(head.toString('latin1', 0, end));
  return length !== null && head.length - end - 4 >= Math.min(Number(length[1]), 4096);
}

// refusal words the proxy's answer, its body included: that is where the reason stands.
function refusal(target, head) {
  const text = head.toString('utf8');
  const end = text.indexOf('\r\n\r\n');
  const status = /^HTTP\/1\.[01] (\d{3})[^\r]*/.exec(text);
  if (end < 0 || !status) return null;
  const body = text.slice(end + 4, end + 4 + 4096).trim();
  const err = failure(`proxy refused CONNECT ${target}: ${status[0].slice(9)}${body ? ': ' + body : ''}`, 'ERR_PROXY_TUNNEL');
  err.statusCode = Number(status[1]);
  return err;
}

function failure(message, code) {
  const err = new Error(message);
  err.code = code;
  return err;
}
