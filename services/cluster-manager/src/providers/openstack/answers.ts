import type { HttpAnswer } from '@fleetgate/kit/outbound'
import { CloudProblem, retryAfter } from '../driver.js'
import { parsed } from '../jsonApi.js'

/** The forms of an error: `{"forbidden": {"message"}}` of Nova, `{"NeutronError": {"type", "message"}}`, `{"error": {"message"}}` of Keystone. */
export function problemOf(answer: HttpAnswer, now: number): CloudProblem {
  const { status } = answer
  const [fault] = Object.values(parsed(answer)) as { message?: unknown; type?: unknown }[]
  const said = typeof fault?.message === 'string' ? fault.message.slice(0, 300) : `it answered ${status}`
  const wait = retryAfter(answer.headers['retry-after'], now)
  const message = `OpenStack: ${said}`
  if (status === 401) return new CloudProblem('credentials', message)
  if (/quota/i.test(said) || fault?.type === 'OverQuota') return new CloudProblem('quota', message)
  if (status === 429 || status === 413) return new CloudProblem('throttled', message, wait)
  if (status === 403) return new CloudProblem('credentials', message)
  if (status >= 500) return new CloudProblem('unavailable', message, wait)
  return new CloudProblem('invalid', message)
}
