// The client of Lambda's Runtime API that runs a Node.js handler (Node 14 and later).
//
// It speaks HTTP on a bare socket, since node:http costs more than most
// handlers. How handlers are found and called, when the event loop is waited
// for, and what errors look like follows AWS's own client, aws-lambda-ric.
(() => {
  'use strict';
  const net = require('net');
  const path = require('path');
  const fs = require('fs');
  const util = require('util');
  const { createRequire } = require('module');
  const require_ = require;
  const { pathToFileURL } = require('url');

  // `node -e` leaves these in the global scope, where a module would not expect them.
  for (const name of ['require', 'module', 'exports', '__filename', '__dirname']) {
    delete globalThis[name];
  }

  const env = process.env;
  const root = env.LAMBDA_TASK_ROOT || process.cwd();
  const requireFrom = createRequire(path.join(root, 'bootstrap.js'));
  const [host, port] = env.AWS_LAMBDA_RUNTIME_API.split(':');
  const BASE = '/2018-06-01/runtime/';
  const NEXT = `GET ${BASE}invocation/next HTTP/1.1\r\nHost: ${host}\r\n\r\n`;

  // --- Runtime API -----------------------------------------------------------

  const socket = net.connect({ host, port: Number(port), noDelay: true });
  // Loading must not be kept alive by the connection: code that waits for
  // nothing ends the process, as at AWS.
  socket.unref();
  const waiting = []; // one function for each answer that is still to come
  let kept = null;

  socket.on('data', (data) => {
    kept = kept === null ? data : Buffer.concat([kept, data]);
    for (;;) {
      const end = kept.indexOf('\r\n\r\n');
      if (end < 0) return;
      const headers = Object.create(null);
      const lines = kept.toString('utf8', 0, end).split('\r\n');
      for (let i = 1; i < lines.length; i += 1) {
        const colon = lines[i].indexOf(':');
        headers[lines[i].slice(0, colon).toLowerCase()] = lines[i].slice(colon + 1).trim();
      }
      const start = end + 4;
      const length = Number(headers['content-length'] || 0);
      if (kept.length < start + length) {
        if (length > kept.length) gather(kept, start + length);
        return;
      }
      const body = kept.subarray(start, start + length);
      kept = kept.length === start + length ? null : kept.subarray(start + length);
      const take = waiting.shift();
      if (take) take(headers, body);
      if (kept === null) return;
    }
  });
  // A long event comes in many pieces: they are put together once.
  function gather(first, total) {
    const all = Buffer.allocUnsafe(total);
    let filled = first.copy(all);
    const listeners = socket.listeners('data');
    socket.removeAllListeners('data');
    const fill = (data) => {
      const count = data.copy(all, filled);
      filled += count;
      if (filled < total) return;
      socket.removeListener('data', fill);
      for (const listener of listeners) socket.on('data', listener);
      kept = null;
      const rest = data.subarray(count);
      socket.emit('data', rest.length === 0 ? all : Buffer.concat([all, rest]));
    };
    socket.on('data', fill);
  }
  // The gateway is gone.
  socket.on('close', () => process.exit(0));
  socket.on('error', () => process.exit(0));

  function send(text, ...takers) {
    waiting.push(...takers);
    socket.ref();
    socket.write(text);
  }

  function call(pathName, body, extra) {
    const length = Buffer.byteLength(body);
    return `POST ${BASE}${pathName} HTTP/1.1\r\nHost: ${host}\r\n`
      + `Content-Type: application/json\r\n${extra}Content-Length: ${length}\r\n\r\n${body}`;
  }

  // --- errors ----------------------------------------------------------------

  class UnhandledPromiseRejection extends Error {
    constructor(reason, promise) {
      super(reason);
      this.reason = reason;
      this.promise = promise;
    }
  }
  UnhandledPromiseRejection.prototype.name = 'Runtime.UnhandledPromiseRejection';

  function fault(kind, cause) {
    const error = new Error(cause);
    Object.defineProperty(error, 'name', { value: `Runtime.${kind}` });
    // As it would stand had the class of the error carried the name.
    error.stack = `Runtime.${kind}: ${error.message}\n${String(error.stack).split('\n    at ').slice(1).map((l) => `    at ${l}`).join('\n')}`;
    if (cause instanceof Error) error.stack += `\nCaused by: ${cause.stack}`;
    return error;
  }

  function describe(error) {
    try {
      const isError = util.types.isNativeError(error)
        || (error && typeof error.name === 'string' && typeof error.message === 'string'
          && typeof error.stack === 'string');
      if (isError) {
        return {
          errorType: error.name && error.name.replace(/\x7F/g, '%7F'),
          errorMessage: error.message && error.message.replace(/\x7F/g, '%7F'),
          trace: error.stack.replace(/\x7F/g, '%7F').split('\n'),
        };
      }
      return { errorType: typeof error, errorMessage: error.toString(), trace: [] };
    } catch (_) {
      return {
        errorType: 'handled',
        errorMessage: 'callback called with Error argument, but there was a problem while '
          + 'retrieving one or more of its message, name, and stack',
      };
    }
  }

  function describeWithHeader(error) {
    const description = describe(error);
    const kind = String(description.errorType).replace(/[^\x20-\x7e]/g, '?');
    let extra = `Lambda-Runtime-Function-Error-Type: ${kind}\r\n`;
    if (kind === 'undefined') extra = '';
    return [JSON.stringify(description), extra];
  }

  function failInit(error, code) {
    const [body, extra] = describeWithHeader(error);
    send(call('init/error', body, extra), () => process.exit(code));
  }

  // --- console ---------------------------------------------------------------

  let requestId;
  if (String(env.AWS_LAMBDA_LOG_FORMAT).toUpperCase() !== 'JSON') {
    const levels = { trace: 'TRACE', debug: 'DEBUG', info: 'INFO', log: 'INFO', warn: 'WARN', error: 'ERROR', fatal: 'FATAL' };
    for (const [method, level] of Object.entries(levels)) {
      console[method] = (...parts) => {
        const line = `${new Date().toISOString()}\t${requestId}\t${level}\t${util.format(...parts)}`;
        process.stdout.write(`${line.replace(/\n/g, '\r')}\n`);
      };
    }
  }

  // --- loading ---------------------------------------------------------------

  function isModulePackage(folder) {
    if (folder.endsWith('/node_modules')) return false;
    const file = path.join(folder, 'package.json');
    if (fs.existsSync(file)) {
      try {
        return JSON.parse(fs.readFileSync(file, 'utf8')).type === 'module';
      } catch (_) {
        return false;
      }
    }
    const above = path.dirname(folder);
    return above !== folder && isModulePackage(above);
  }

  async function loadModule(folder, name) {
    const file = path.resolve(root, folder, name);
    const isFile = (candidate) => fs.existsSync(candidate) && fs.statSync(candidate).isFile();
    if (isFile(file)) return requireFrom(file);
    if (isFile(`${file}.js`)) {
      return isModulePackage(path.dirname(file))
        ? import(pathToFileURL(`${file}.js`).href)
        : requireFrom(`${file}.js`);
    }
    if (isFile(`${file}.mjs`)) return import(pathToFileURL(`${file}.mjs`).href);
    if (isFile(`${file}.cjs`)) return requireFrom(`${file}.cjs`);
    return requireFrom(requireFrom.resolve(name, { paths: [root, path.join(root, folder)] }));
  }

  async function load(handlerName) {
    if (handlerName.includes('..')) {
      throw fault('MalformedHandlerName', `'${handlerName}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`);
    }
    const base = path.basename(handlerName);
    const folder = handlerName.slice(0, handlerName.length - base.length);
    const match = base.match(/^([^.]*)\.(.*)$/);
    if (!match) throw fault('MalformedHandlerName', 'Bad handler');
    let loaded;
    try {
      loaded = await loadModule(folder, match[1]);
    } catch (error) {
      if (error instanceof SyntaxError) throw fault('UserCodeSyntaxError', error);
      if (error && error.code === 'MODULE_NOT_FOUND') throw fault('ImportModuleError', error);
      throw error;
    }
    const handler = match[2].split('.').reduce((inner, key) => inner && inner[key], loaded);
    if (!handler) throw fault('HandlerNotFound', `${handlerName} is undefined or not exported`);
    if (typeof handler !== 'function') throw fault('HandlerNotFound', `${handlerName} is not a function`);
    return handler;
  }

  // --- results in pieces -----------------------------------------------------

  const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
  globalThis.awslambda = {
    ...globalThis.awslambda,
    streamifyResponse(handler) {
      handler[STREAMING] = 'response';
      return handler;
    },
    HttpResponseStream: {
      from(stream, metadata) {
        stream.setContentType('application/vnd.awslambda.http-integration-response');
        stream._onBeforeFirstWrite = (write) => {
          write(JSON.stringify(metadata));
          // What ends the metadata.
          write(Buffer.alloc(8));
        };
        return stream;
      },
    },
  };

  // A stream whose content is the result of call `id`; a connection of its own
  // carries it, as with AWS's client. `done` is called once it was taken.
  function responseStream(id, done) {
    const side = net.connect({ host, port: Number(port), noDelay: true });
    let type = 'application/octet-stream';
    let began = false;
    let over = false;
    const finish = () => {
      if (over) return;
      over = true;
      side.destroy();
      done();
    };
    // The answer is small: its first bytes say that everything was read.
    side.on('data', finish);
    side.on('close', finish);
    side.on('error', finish);
    const chunk = (data, after) => {
      const bytes = Buffer.isBuffer(data) ? data : Buffer.from(data);
      if (bytes.length === 0) {
        if (after) after();
        return;
      }
      side.write(`${bytes.length.toString(16)}\r\n`);
      side.write(bytes);
      side.write('\r\n', after);
    };
    const begin = () => {
      if (began) return;
      began = true;
      side.write(`POST ${BASE}invocation/${id}/response HTTP/1.1\r\nHost: ${host}\r\n`
        + `Content-Type: ${type}\r\nLambda-Runtime-Function-Response-Mode: streaming\r\n`
        + 'Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n'
        + 'Transfer-Encoding: chunked\r\n\r\n');
      if (typeof stream._onBeforeFirstWrite === 'function') stream._onBeforeFirstWrite((data) => chunk(data));
    };
    const stream = new (require_('stream').Writable)({
      write(data, encoding, after) {
        begin();
        chunk(data, after);
      },
      final(after) {
        begin();
        side.write('0\r\n\r\n');
        after();
      },
    });
    stream.setContentType = (value) => { type = value; };
    stream.isBegun = () => began;
    stream.breakOff = (error) => {
      const [body] = describeWithHeader(error);
      const kind = String(describe(error).errorType).replace(/[^\x20-\x7e]/g, '?');
      side.write(`0\r\nLambda-Runtime-Function-Error-Type: ${kind}\r\n`
        + `Lambda-Runtime-Function-Error-Body: ${Buffer.from(body).toString('base64')}\r\n\r\n`);
      stream.destroy();
    };
    stream.abandon = () => {
      over = true;
      side.destroy();
      stream.destroy();
    };
    stream.on('error', () => {});
    return stream;
  }

  // --- calls -----------------------------------------------------------------

  // Before the handler is there: a module that waits for what never comes. 13 is Node's code for that.
  let onEmptyLoop = () => { process.exitCode = 13; };
  let onUncaught = (error) => failInit(error, 129);
  let onRejection = (error) => failInit(error, 128);
  process.on('beforeExit', () => onEmptyLoop());
  process.on('uncaughtException', (error) => onUncaught(error));
  process.on('unhandledRejection', (reason, promise) => {
    onRejection(new UnhandledPromiseRejection(reason, promise));
  });

  const facts = {
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
  };

  function readJson(text, name) {
    if (text === undefined) return undefined;
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new Error(`Cannot parse ${name} as json: ${error.toString()}`);
    }
  }

  function begin(handler, headers, event) {
    // From here on only what the handler does keeps the event loop alive.
    socket.unref();
    const id = headers['lambda-runtime-aws-request-id'];
    requestId = id;
    const traceId = headers['lambda-runtime-trace-id'];
    if (traceId === undefined) {
      delete env._X_AMZN_TRACE_ID;
    } else {
      env._X_AMZN_TRACE_ID = traceId;
    }

    let answered = false;
    const postError = (error, exitCode) => {
      if (answered) {
        if (exitCode !== undefined) process.exit(exitCode);
        return;
      }
      answered = true;
      onEmptyLoop = () => {};
      const [body, extra] = describeWithHeader(error);
      const text = call(`invocation/${id}/error`, body, extra);
      if (exitCode === undefined) {
        goOn(handler, text);
      } else {
        send(text, () => process.exit(exitCode));
      }
    };
    const postResult = (result) => {
      if (answered) return;
      onEmptyLoop = () => {};
      let body;
      try {
        body = JSON.stringify(result === undefined ? null : result);
        if (body === undefined) body = 'null';
      } catch (error) {
        postError(error);
        return;
      }
      answered = true;
      goOn(handler, call(`invocation/${id}/response`, body, ''));
    };

    onUncaught = (error) => postError(error, 129);
    onRejection = (error) => postError(error, 128);
    onEmptyLoop = () => postResult(null);

    let waits = true;
    let finished = false;
    const once = (act) => (...parts) => {
      if (finished) return;
      finished = true;
      act(...parts);
    };
    const done = (error, result) => {
      if (error !== undefined && error !== null) postError(error);
      else postResult(result);
    };
    const context = {
      get callbackWaitsForEmptyEventLoop() { return waits; },
      set callbackWaitsForEmptyEventLoop(value) { waits = value; },
      succeed: once((result) => done(null, result)),
      fail: once((error) => done(error === undefined || error === null ? 'handled' : error)),
      done: once(done),
    };
    const callback = once((error, result) => {
      if (error !== undefined && error !== null) postError(error);
      else if (!waits) postResult(result);
      else onEmptyLoop = () => setImmediate(() => postResult(result));
    });
    try {
      const deadline = Number(headers['lambda-runtime-deadline-ms']);
      Object.assign(context, facts, {
        clientContext: readJson(headers['lambda-runtime-client-context'], 'ClientContext'),
        identity: readJson(headers['lambda-runtime-cognito-identity'], 'CognitoIdentity'),
        invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
        awsRequestId: id,
        tenantId: headers['lambda-runtime-aws-tenant-id'],
        getRemainingTimeInMillis: () => deadline - Date.now(),
      });
      if (handler[STREAMING] === 'response') {
        const stream = responseStream(id, () => {
          if (answered) return;
          answered = true;
          goOn(handler);
        });
        const failed = (error) => {
          if (stream.isBegun()) {
            stream.breakOff(error);
          } else {
            stream.abandon();
            postError(error);
          }
        };
        onUncaught = failed;
        onRejection = failed;
        onEmptyLoop = () => stream.end();
        Promise.resolve(handler(JSON.parse(event.toString('utf8')), stream, context)).catch(failed);
        return;
      }
      const result = handler(JSON.parse(event.toString('utf8')), context, callback);
      if (result && typeof result.then === 'function') {
        result.then(context.succeed, context.fail).catch(context.fail);
      }
    } catch (error) {
      callback(error);
    }
  }

  // Sends an answer; the call for the next event travels with it: one way less.
  function goOn(handler, text) {
    const next = (headers, body) => begin(handler, headers, body);
    if (text === undefined) {
      send(NEXT, next);
    } else {
      send(text + NEXT, () => {}, next);
    }
  }

  load(env._HANDLER || '').then((handler) => goOn(handler), (error) => failInit(error, 1));
})();
