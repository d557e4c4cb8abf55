// Owns: child processes, temporary directories and bounded waiting for every end-to-end test. A child never outlives
// the test: close() ends it, so does the exit of this process, and where setpriv exists the kernel does it even after a
// kill -9 of the test. What a child printed is kept, and shown when something fails, without this machine's paths.
import { spawn } from 'node:child_process';
import { accessSync, appendFileSync, constants, existsSync, mkdtempSync, mkdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** How long a test waits for what must come, in milliseconds. A sanitizer build is given more time, not other facts. */
export const PATIENCE = process.env.RECORDKV_SLOW ? 180_000 : 60_000;

const KEPT = 400;  // lines of output kept of each child
const SANITIZER = /ERROR: \w+Sanitizer|: runtime error: /;
const open = new Set();

/** The top of the checkout: these tests lie in test/e2e/, and compiled in test/e2e/.cache/. */
export const root = fileURLToPath(new URL('.', import.meta.url)).replace(/test\/e2e\/(\.cache\/)?$/, '');

process.once('exit', () => { for (const one of open) one.abandon(); });
// Not once(): a second signal, as the runner and its own killer send, must not cut the cleaning short.
process.on('SIGINT', () => process.exit(130));
process.on('SIGTERM', () => process.exit(143));
process.on('SIGHUP', () => process.exit(129));

/** @param {string} file @returns {boolean} */
const runnable = (file) => {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

/** @param {string} name @returns {string | undefined} */
const onPath = (name) =>
  (process.env.PATH ?? '').split(delimiter).map((dir) => join(dir, name)).find(runnable);

/**
 * The program an environment variable names. A test without it fails: nothing here is skipped.
 * @param {string} variable @param {string} [fallback] a name looked up in PATH @returns {string}
 */
export function program(variable, fallback) {
  const named = process.env[variable];
  if (!named && fallback) {
    const found = onPath(fallback);
    if (found) return found;
  }
  if (!named) {
    throw new Error(`${variable} is not set${fallback ? ` and there is no ${fallback} in PATH` : ''}: `
      + 'set it to the program, or run ./dev test, which does');
  }
  const file = isAbsolute(named) ? named : resolve(named);
  if (!runnable(file)) throw new Error(`${variable} names no program that can be run: build it, or run ./dev test`);
  return file;
}

/** A loopback port that was free a moment ago. @returns {Promise<number>} */
export async function freePort() {
  const server = createServer();
  await new Promise((done, failed) => server.once('error', failed).listen(0, '127.0.0.1', () => done(undefined)));
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  await new Promise((done) => server.close(() => done(undefined)));
  return port;
}

/**
 * Asks until the answer is truthy, and gives it. A probe that throws has not answered yet.
 * @template T
 * @param {string} what completes "gave up waiting for …"
 * @param {() => T | Promise<T>} probe
 * @param {{within?: number, every?: number, alive?: Child[]}} [options] milliseconds; children
 *   that must be running: the first one's last lines are told on failure
 * @returns {Promise<NonNullable<T>>}
 */
export async function until(what, probe, { within = 30_000, every = 50, alive = [] } = {}) {
  const deadline = Date.now() + within;
  for (let reason = 'nothing yet'; ;) {
    try {
      const answer = await bounded(what, probe(), Math.max(1000, deadline - Date.now()));
      if (answer) return answer;
      reason = 'it is not so yet';
    } catch (error) {
      reason = error instanceof Error ? error.message : String(error);
    }
    const fallen = alive.find((child) => child.ended);
    if (fallen) throw new Error(`${fallen.name} ended while waiting for ${what}\n${fallen.report()}`);
    if (Date.now() >= deadline) {
      const told = alive[0] ? `\n${alive[0].report()}` : '';
      throw new Error(`gave up after ${within / 1000} s waiting for ${what}: ${reason}${told}`);
    }
    await sleep(every);
  }
}

/** @template T @param {string} what @param {T | Promise<T>} work @param {number} within @returns {Promise<T>} */
export async function bounded(what, work, within) {
  let timer;
  const late = new Promise((_, failed) => {
    timer = setTimeout(() => failed(new Error(`${what} took over ${within / 1000} s`)), within);
  });
  try {
    return await Promise.race([work, /** @type {Promise<never>} */ (late)]);
  } finally {
    clearTimeout(timer);
  }
}

/** One running program. */
export class Child {
  /** @type {string[]} */ #lines = [];
  #rest = { stdout: '', stderr: '' };
  /** @type {string | undefined} */ #complaint;
  /** @type {{code: number | null, signal: string | null} | undefined} */ ended;

  /**
   * @param {string} name @param {string} command @param {string[]} args
   * @param {{cwd: string, env: NodeJS.ProcessEnv, hide: (text: string) => string}} options
   */
  constructor(name, command, args, { cwd, env, hide }) {
    const guard = process.platform === 'linux' ? onPath('setpriv') : undefined;
    const [file, all] = guard ? [guard, ['--pdeathsig', 'KILL', '--', command, ...args]] : [command, args];
    this.name = name;
    this.dir = cwd;
    this.hide = hide;
    this.stdout = '';
    this.process = spawn(file, all, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    /** @type {Promise<{code: number | null, signal: string | null}>} */
    this.end = new Promise((done) => {
      const finish = (/** @type {number | null} */ code, /** @type {string | null} */ signal) => {
        this.ended ??= { code, signal };
        done(this.ended);
      };
      this.process.once('error', (error) => { this.#lines.push(error.message); finish(127, null); });
      this.process.once('close', finish);
    });
    for (const from of /** @type {const} */ (['stdout', 'stderr'])) {
      this.process[from].setEncoding('utf8').on('data', (/** @type {string} */ text) => this.#take(from, text));
    }
  }

  /** @param {'stdout' | 'stderr'} from @param {string} text */
  #take(from, text) {
    if (from === 'stdout') this.stdout += text;
    const lines = (this.#rest[from] + text).split('\n');
    this.#rest[from] = lines.pop() ?? '';
    this.#lines.push(...lines);
    // For the runner, which prints it when this process dies without a word.
    if (existsSync(this.dir)) appendFileSync(join(this.dir, `${this.name.replaceAll('/', '-')}.log`), text);
    this.#complaint ??= lines.find((line) => SANITIZER.test(line));
    if (this.#lines.length > KEPT) this.#lines.splice(0, this.#lines.length - KEPT);
  }

  /** The first line that matches, once it was printed. @param {RegExp} pattern @param {number} [within] */
  line(pattern, within = 20_000) {
    return until(`${this.name} to print ${pattern}`, () => this.#lines.map((line) => pattern.exec(line)).find(Boolean),
      { within, alive: [this] });
  }

  /** @param {NodeJS.Signals} signal to the child and whatever it started */
  signal(signal) {
    const { pid } = this.process;
    if (this.ended || pid === undefined) return;
    try {
      process.kill(-pid, signal);
    } catch { /* it is gone already */ }
  }

  /** kill -9, as a power cut would. */
  async kill() {
    this.signal('SIGKILL');
    return bounded(`the end of ${this.name} after kill -9`, this.end, 10_000);
  }

  /** Asks it to stop; after `patience` milliseconds it is killed. */
  async stop(patience = 10_000) {
    this.signal('SIGTERM');
    return bounded('', this.end, patience).catch(() => this.kill());
  }

  /** The line with which a sanitizer began to complain, if one did. */
  get complaint() {
    return this.#complaint && this.hide(`${this.name}: ${this.#complaint}`);
  }

  /** Its last lines, for a message about a failure. @param {number} [count] */
  report(count = 25) {
    const state = this.ended ? `ended with ${this.ended.signal ?? this.ended.code}` : 'is running';
    return this.hide([`${this.name} ${state}; its last lines:`, ...this.#lines.slice(-count)].join('\n  '));
  }
}

/** The children and the temporary directory of one test file. */
export class Processes {
  /** @type {Child[]} */ #children = [];
  /** @type {(() => unknown)[]} */ #first = [];

  constructor() {
    this.dir = mkdtempSync(join(tmpdir(), 'recordkv-e2e-'));
    open.add(this);
  }

  /** A fresh directory. @param {string} name */
  directory(name) {
    const path = join(this.dir, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  /**
   * @param {string} name @param {string} command @param {string[]} args @param {NodeJS.ProcessEnv} [env] added
   * @returns {Child}
   */
  start(name, command, args, env = {}) {
    // RECORDKV_* would reach the service as configuration: RECORDKV_NATS_CLI is the key nats.cli to it.
    const inherited = Object.entries(process.env).filter(([key]) => !/^(RECORDKV|NATS|NODE)_?/.test(key));
    const child = new Child(name, command, args, {
      cwd: this.dir,
      env: { ...Object.fromEntries(inherited), HOME: this.dir, XDG_CONFIG_HOME: this.dir, NO_COLOR: '1', ...env },
      hide: (text) => this.hide(text, command),
    });
    this.#children.push(child);
    return child;
  }

  /** Runs to the end. @param {string} name @param {string} command @param {string[]} args @param {number} [within] */
  async run(name, command, args, within = 20_000) {
    const child = this.start(name, command, args);
    const { code, signal } = await bounded(`${name} ${args.join(' ')}`, child.end, within)
      .catch(async (error) => { await child.kill(); throw new Error(`${error.message}\n${child.report()}`); });
    return { code, signal, out: child.stdout, report: child.report() };
  }

  /** @param {string} text @param {string} [command] @returns {string} without the paths of this machine */
  hide(text, command) {
    const named = command ? text.replaceAll(command, command.split('/').pop() ?? 'PROGRAM') : text;
    return named.replaceAll(this.dir, 'TMP').replaceAll(root, '');
  }

  /** Something to do before the children end, such as closing a connection. @param {() => unknown} closing */
  closeFirst(closing) {
    this.#first.push(closing);
  }

  /** Ends every child, the youngest first, and removes the directory. Throws when a sanitizer complained about one. */
  async close() {
    for (const closing of this.#first) await closing();
    for (const child of [...this.#children].reverse()) await child.stop();
    open.delete(this);
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
    const complaints = this.#children.filter((child) => child.complaint).map((child) => `${child.complaint}\n${child.report(60)}`);
    if (complaints.length > 0) throw new Error(complaints.join('\n'));
  }

  /** The same at once, for the exit of this process. */
  abandon() {
    for (const child of this.#children) child.signal('SIGKILL');
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }
}
