import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Teardown } from '@fleetgate/testkit'

export interface HookServer {
  port: number
  heard: { body: Record<string, unknown>; key: unknown }[]
}

/** What a tenant's web hook posts to; the first `failures` requests are answered with 503. */
export async function startHookServer(t: Teardown, { failures = 0 } = {}): Promise<HookServer> {
  const heard: HookServer['heard'] = []
  let failed = 0
  const server = createServer((request, response) => {
    let text = ''
    request.on('data', (chunk) => {
      text += String(chunk)
    })
    request.on('end', () => {
      const isTaken = failed >= failures
      if (isTaken) heard.push({ body: JSON.parse(text), key: request.headers['x-key'] })
      else failed += 1
      response.writeHead(isTaken ? 200 : 503).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return { port: (server.address() as AddressInfo).port, heard }
}

/** A rule as `plugin_configs` takes it. */
export const hookRule = (event: string, more = {}) => ({
  key: `web.hook.rule.${event}.1`,
  value: JSON.stringify({ action: `on_${event.replace('.', '_')}`, ...more })
})
