import type { HttpAnswer } from '@fleetgate/kit/outbound'
import { CloudProblem, type CloudProblemKind, retryAfter } from '../driver.js'
import { parsed } from './exchange.js'

/** Of Neutron: the pool or the network has none left. */
const noAddress = /^(?:IpAddressGenerationFailure|ExternalIpAddressExhausted)/

/**
 * The forms of an error: `{"forbidden": {"message"}}` of Nova, `{"NeutronError": {"type", "message"}}`, `{"error": {"message"}}` of
 * Keystone; of Glance `{"message", "code", "title"}` with marks of HTML in it. What refuses for a quota answers 403, 409 or 413.
 */
export function problemOf(answer: HttpAnswer, now: number): CloudProblem {
  const { status } = answer
  const said = reasonOf(answer)
  const wait = retryAfter(answer.headers['retry-after'], now)
  const { NeutronError } = parsed(answer) as { NeutronError?: { type?: unknown } }
  const type = typeof NeutronError?.type === 'string' ? NeutronError.type : ''
  return new CloudProblem(kindOf(status, said, type), `OpenStack: ${said}`, wait, { cause: { type } })
}

/** Neutron's name of what it answered, `OverQuota` for one; empty for other services. */
export function errorType(error: unknown): string {
  return error instanceof CloudProblem ? ((error.cause as { type?: string } | undefined)?.type ?? '') : ''
}

function kindOf(status: number, said: string, type: string): CloudProblemKind {
  if (status === 401) return 'credentials'
  if (type === 'OverQuota' || (status < 500 && /quota/i.test(said))) return 'quota'
  if (noAddress.test(type)) return 'capacity'
  if (status === 429 || status === 413) return 'throttled'
  if (status === 403) return 'credentials'
  return status >= 500 ? 'unavailable' : 'invalid'
}

function reasonOf(answer: HttpAnswer): string {
  const body = parsed(answer)
  const [fault] = Object.values(body) as { message?: unknown }[]
  const said = body.message ?? fault?.message
  const text = typeof said === 'string' ? said.replace(/<[^>]*>|\s+/g, ' ').trim() : ''
  return text.slice(0, 300) || `it answered ${answer.status}`
}
