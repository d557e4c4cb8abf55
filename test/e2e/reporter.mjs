// Owns: how the end-to-end tests are told: one line per test, what failed in full, and no path of this machine.
import { relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));

/** @param {string} text @returns {string} */
const plain = (text) => text.replaceAll(`file://${here}`, '').replaceAll(here, '');

/** The messages of an error and of what caused it, each once. @param {any} error @returns {string} */
const story = (error) => {
  const told = new Set();
  for (let one = error; one && told.size < 4; one = one.cause) told.add(plain(String(one.message ?? one)));
  const frames = plain(String(error?.cause?.stack ?? '')).split('\n')
    .filter((line) => /^ {4}at /.test(line) && !/node:|node_modules|<anonymous>\)$/.test(line)).map((line) => line.trim());
  return [...told, ...frames.slice(0, 6)].join('\n').replace(/^/gm, '    ');
};

/** @param {AsyncIterable<any>} events */
export default async function* report(events) {
  let [passed, failed] = [0, 0];
  const told = new Set();
  for await (const { type, data } of events) {
    const isFile = data?.name?.includes(sep) || /\.[jt]s$|\.mjs$/.test(data?.name ?? '');
    const name = isFile ? relative(here, data.name) : data?.name;
    const seconds = ((data?.details?.duration_ms ?? 0) / 1000).toFixed(1);
    if (type === 'test:pass' && !isFile) {
      if (data.skip !== undefined || data.todo !== undefined) yield `skipped  ${name}\n`;
      else {
        passed += 1;
        yield `ok       ${name} (${seconds} s)\n`;
      }
    } else if (type === 'test:fail' && !(isFile && failed > 0)) {
      failed += 1;
      const why = story(data.details.error);
      yield `FAILED   ${name} (${seconds} s)\n${told.has(why) ? '    for the same reason' : why}\n`;
      told.add(why);
    } else if (type === 'test:diagnostic' && !/^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) /.test(data.message)) {
      yield `         ${plain(data.message)}\n`;
    }
  }
  yield `${passed} passed, ${failed} failed\n`;
}
