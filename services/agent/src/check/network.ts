import { lookup } from 'node:dns/promises'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { downFilter } from '@fleetgate/contracts/fleet'
import { connectAsync } from 'mqtt'
import type { AgentConfig } from '../config.js'
import { connectOptions, isRefused } from '../connection.js'
import { holderOf } from '../lock.js'
import { Skipped } from './result.js'

type Looks = [name: string, work: () => Promise<string>][]

const withinMs = 10_000
/** Certificates and schedules go wrong with more. */
const mostSkewMs = 60_000
const ports: Record<string, number> = { 'mqtts:': 8883, 'ssl:': 8883, 'ws:': 80, 'wss:': 443 }

export function networkLooks(config: AgentConfig): Looks {
  const url = new URL(config.mqtt.url)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const address = { host, port: Number(url.port) || (ports[url.protocol] ?? 1883) }
  const isTls = ['mqtts:', 'ssl:', 'wss:'].includes(url.protocol)
  return [
    ['dns', () => lookAtName(host)],
    ['tcp', () => lookAtPort(address)],
    ['tls', () => (isTls ? lookAtTls(address, config.mqtt.secrets().ca) : skip('the broker is reached without TLS'))],
    ['mqtt', () => lookAtMqtt(config)],
    ['clock', () => lookAtClock(config)]
  ]
}

async function lookAtName(host: string): Promise<string> {
  const { address } = await lookup(host)
  return host === address ? address : `${host} is ${address}`
}

async function lookAtPort({ host, port }: { host: string; port: number }): Promise<string> {
  const socket = connectTcp({ host, port })
  await opened(socket, 'connect').finally(() => socket.destroy())
  return `${host} port ${port} answers`
}

async function lookAtTls(address: { host: string; port: number }, ca: Buffer | undefined): Promise<string> {
  const { host } = address
  const socket = connectTls({ ...address, ...(ca && { ca }), ...(isIP(host) ? {} : { servername: host }) })
  try {
    await opened(socket, 'secureConnect')
    const { valid_to: end } = (socket as TLSSocket).getPeerCertificate()
    const days = Math.floor((Date.parse(end) - Date.now()) / 86_400_000)
    return `${socket.getProtocol()}, the certificate is good for ${days} days`
  } finally {
    socket.destroy()
  }
}

function opened(socket: Socket, event: 'connect' | 'secureConnect'): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.setTimeout(withinMs, () => reject(new Error(`no answer within ${withinMs / 1000} s`)))
    socket.once('error', reject)
    socket.once(event, resolve)
  })
}

async function lookAtMqtt({ mqtt, clientId, stateDir }: AgentConfig): Promise<string> {
  const holder = await holderOf(stateDir)
  // The broker lets one connection have a client id: the running agent would lose its own.
  if (holder) throw new Skipped(`not asked while the agent runs as process ${holder.pid}`)
  const options = { ...connectOptions(mqtt, clientId), connectTimeout: withinMs }
  const client = await connectAsync(mqtt.url, options, false)
  try {
    const filter = downFilter(clientId)
    if (isRefused(await client.subscribeAsync(filter, { qos: 1 }))) throw new Error(`may not subscribe to ${filter}`)
    return `logged in as ${mqtt.username ?? 'nobody'} and subscribed to ${filter}`
  } finally {
    await client.endAsync(true)
  }
}

async function lookAtClock({ fleetUrl, fleetCa }: AgentConfig): Promise<string> {
  if (!fleetUrl) return skip('FLEET_URL does not say whom to ask for the time')
  const began = Date.now()
  const date = await dateOf(new URL('/healthz', fleetUrl), fleetCa)
  // The answer was written between the two moments, and its time has whole seconds.
  const skew = Math.round((began + Date.now()) / 2 - date - 500)
  const detail = `${(Math.abs(skew) / 1000).toFixed(1)} s ${skew < 0 ? 'behind' : 'ahead of'} ${fleetUrl}`
  if (Math.abs(skew) > mostSkewMs) throw new Error(`the clock is ${detail}`)
  return detail
}

function dateOf(url: URL, ca: Buffer | undefined): Promise<number> {
  const request = url.protocol === 'https:' ? httpsRequest : httpRequest
  return new Promise((resolve, reject) => {
    const asked = request(url, { method: 'HEAD', timeout: withinMs, agent: false, ...(ca && { ca }) }, (answer) => {
      answer.resume()
      const date = Date.parse(answer.headers.date ?? '')
      if (Number.isNaN(date)) reject(new Error(`${url} does not tell the time`))
      else resolve(date)
    })
    asked.once('timeout', () => asked.destroy(new Error(`no answer within ${withinMs / 1000} s`)))
    asked.once('error', reject)
    asked.end()
  })
}

function skip(reason: string): Promise<never> {
  return Promise.reject(new Skipped(reason))
}
