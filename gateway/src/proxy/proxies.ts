import type { Agent, ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Stream } from 'node:stream'
import { createProxyMiddleware, type Options, type Plugin } from 'http-proxy-middleware'

export interface Proxy {
  web(req: IncomingMessage, res: ServerResponse): void
  ws(req: IncomingMessage, socket: Socket, head: Buffer): void
}

export type ProxyServer = Parameters<Plugin>[0]

export interface ProxyOptions {
  target: Options['target']
  agent: Agent
  /** Requests never have a body: one `end` instead of a stream set up and torn down. */
  bodyless: boolean
  /** Registers the listeners. */
  wire(proxy: ProxyServer): void
}

/** What http-proxy has beside its types. */
interface Internals {
  options: Options
  webPasses: { name: string }[]
}

/**
 * A proxy made by http-proxy-middleware and entered below its middleware, whose path filter, router and rewriter we do not
 * use: they cost six turns of the promise queue and three copies of the options for every request (9 % of the gateway's CPU).
 */
export function createProxy({ target, agent, bodyless, wire }: ProxyOptions): Proxy {
  let made: ProxyServer | undefined
  createProxyMiddleware({
    target,
    agent,
    toProxy: true,
    selfHandleResponse: true,
    ...(bodyless ? { buffer: nothing } : {}),
    // Its own plugins log and answer errors in a form of their own.
    ejectPlugins: true,
    plugins: [
      (proxy, options) => {
        made = proxy
        Object.assign((proxy as unknown as Internals).options, options)
        keepStreamPassOnly(proxy as unknown as Internals)
        wire(proxy)
      }
    ]
  })
  if (!made) throw new Error('http-proxy-middleware did not call its plugin')
  return made
}

/** http-proxy pipes this into its request in place of the client's. */
const nothing = {
  pipe(destination: ClientRequest) {
    destination.end()
    return destination
  }
} as unknown as Stream

/** An object, because http-proxy parses a string anew on every request. */
export function targetOf(url: string) {
  const { hostname, port } = new URL(url)
  const host = hostname.replace(/^\[|\]$/g, '')
  return { protocol: 'http:', host, hostname: host, port: Number(port || 80), path: '' }
}

/**
 * http-proxy's other passes set a content-length of 0 on a chunked DELETE while still sending its body, which the
 * service would read as the next request on the shared connection; the rest of them we do ourselves.
 */
function keepStreamPassOnly(proxy: Internals): void {
  proxy.webPasses = proxy.webPasses.filter((pass) => pass.name === 'stream')
  if (proxy.webPasses.length !== 1) throw new Error('http-proxy no longer has the pass this gateway relies on')
}
