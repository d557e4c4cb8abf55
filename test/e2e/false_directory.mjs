// Owns: a PLC directory that names a wrong signing key for one account. It asks the real one, and changes nothing else.
import { createServer } from 'node:http';

/**
 * @param {import('./processes.mjs').Processes} processes
 * @param {{directory: string, victim: string, stranger: string}} about the real directory; the DID whose document is
 *   changed; the DID whose key it names instead
 * @returns {Promise<{url: string, lies: () => number}>} lies: how many changed documents it gave
 */
export async function startFalseDirectory(processes, { directory, victim, stranger }) {
  let lies = 0;
  const keyOf = async (/** @type {string} */ did) =>
    (await (await fetch(`${directory}/${did}`)).json()).verificationMethod[0].publicKeyMultibase;
  const [right, wrong] = [await keyOf(victim), await keyOf(stranger)];

  const server = createServer(async (request, response) => {
    const answer = await fetch(`${directory}${request.url}`);
    const text = await answer.text();
    const told = text.replaceAll(right, wrong);
    if (told !== text) lies += 1;
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'application/json' });
    response.end(told);
  });
  await new Promise((done, failed) => server.once('error', failed).listen(0, '127.0.0.1', () => done(undefined)));
  processes.closeFirst(() => { server.closeAllConnections(); server.close(); });
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  return { url: `http://127.0.0.1:${port}`, lies: () => lies };
}
