import type { NatsConnection } from 'nats'
import { reached } from './outage.js'

export interface DirectMessage {
  seq: number
  data: Uint8Array
}

export type DirectQuery = { last_by_subj: string } | { seq: number; next_by_subj: string }

const timeout = 10_000
const notFound = 404

/**
 * Reads one message of a stream by JetStream's direct get (ADR-31): raw bytes from any replica. The client library has it
 * without types; its typed getter wraps the bytes into base64 and JSON.
 */
export async function directGet(
  connection: NatsConnection,
  stream: string,
  query: DirectQuery
): Promise<DirectMessage | undefined> {
  const subject = `$JS.API.DIRECT.GET.${stream}`
  const { headers, data } = await reached(() => connection.request(subject, JSON.stringify(query), { timeout }))
  if (headers?.code === notFound) return undefined
  const seq = Number(headers?.get('Nats-Sequence'))
  if (!(seq > 0)) throw new Error(`direct get from ${stream} failed: ${headers?.code} ${headers?.description}`)
  return { seq, data }
}
