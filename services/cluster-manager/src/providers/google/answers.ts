import { CloudProblem, retryAfter } from '../driver.js'

/** What the SDK makes of an answer, whatever its status. */
export interface Answer<T> {
  status: number
  data: T
  headers: { 'retry-after'?: string | undefined }
}

/** `{"error": {"code", "message", "errors": [{"reason"}]}}`. */
interface Refusal {
  error?: { message?: unknown; errors?: { reason?: string }[] }
}

export function problemOf({ status, data, headers }: Answer<unknown>, now: number): CloudProblem {
  const { error } = Object(data) as Refusal
  const said = typeof error?.message === 'string' ? error.message : `it answered ${status}`
  return failed(error?.errors?.[0]?.reason ?? '', said, status, retryAfter(headers['retry-after'], now))
}

/** Reasons of answers are written `quotaExceeded`, codes of operations `QUOTA_EXCEEDED`. */
export function failed(code: string, said: string, status: number, wait?: number): CloudProblem {
  const word = code.replaceAll('_', '').toLowerCase()
  const message = `Google Cloud: ${said.slice(0, 300)}`
  // Of operations at the same time, too many for now; other quotas stay as they are.
  const isBusy = /ratelimit|rateexceeded|^concurrentoperations/.test(word)
  if (isBusy || status === 429) return new CloudProblem('throttled', message, wait)
  if (word.includes('quota')) return new CloudProblem('quota', message)
  if (word.includes('resourcepoolexhausted') || word.includes('stockout')) return new CloudProblem('capacity', message)
  if (status === 401 || status === 403 || word.endsWith('accessdenied')) return new CloudProblem('credentials', message)
  if (word === 'resourceinusebyanotherresource' || word === 'resourcenotready')
    return new CloudProblem('unavailable', message)
  if (status >= 500) return new CloudProblem('unavailable', message, wait)
  return new CloudProblem('invalid', message)
}

/** What the SDK throws: with an answer for a log-in that is no success, with its `config` alone where none came. */
interface Thrown extends Error {
  code?: string
  config?: object
  response?: { status: number; data: unknown; headers: Headers }
}

/** Never with what was thrown as its cause, which carries the request. */
export function unanswered(error: unknown, now: number): CloudProblem {
  const { response, config, message } = error as Thrown
  if (!response) {
    const said = config ? `the host did not answer: ${reasonOf(error as Thrown)}` : message
    return new CloudProblem(config ? 'unavailable' : 'invalid', `Google Cloud: ${said.slice(0, 300)}`)
  }
  const { status, data } = response
  if (status !== 400 && status !== 401) {
    const headers = { 'retry-after': response.headers.get('retry-after') ?? undefined }
    return problemOf({ status, data, headers }, now)
  }
  const { error_description } = Object(data) as { error_description?: unknown }
  const reason = typeof error_description === 'string' ? `: ${error_description.slice(0, 200)}` : ''
  return new CloudProblem('credentials', `Google Cloud refuses the service account's key${reason}`)
}

/** The innermost tells what happened: `ECONNREFUSED`, for one. */
function reasonOf(error: Thrown): string {
  let inner = error
  while (inner.cause instanceof Error) inner = inner.cause
  return inner.code ?? inner.message
}
