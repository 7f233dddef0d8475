import { AppError } from '@fleetgate/kit'
import type { HttpAnswer } from '@fleetgate/kit/outbound'
import { CloudProblem } from '../driver.js'

export type Body = Record<string, unknown>

/** One request to a service. */
export interface Ask {
  method?: 'GET' | 'POST' | 'DELETE'
  body?: unknown
  /** Answers that are not thrown besides 2xx. */
  allow?: readonly number[]
}

/** `{}` for what is no JSON object. */
export function parsed({ body }: HttpAnswer): Body {
  try {
    const value: unknown = JSON.parse(body)
    return typeof value === 'object' && value !== null ? (value as Body) : {}
  } catch {
    return {}
  }
}

export interface Exchange {
  /** Sends with the token at hand. */
  send: () => Promise<HttpAnswer>
  /** Forgets the token: a service may refuse it before its time. */
  forget: () => void
  allow?: readonly number[] | undefined
  problemOf: (answer: HttpAnswer) => CloudProblem
}

/** What was answered, by a second try where the token was refused. */
export async function answered({ send, forget, allow = [], problemOf }: Exchange) {
  let answer = await send()
  if (answer.status === 401) {
    forget()
    answer = await send()
  }
  if (answer.status < 300 || allow.includes(answer.status)) return { status: answer.status, body: parsed(answer) }
  throw problemOf(answer)
}

/** The problem behind a call that got no answer; that an address may not be called stays so. */
export function unanswered(cause: unknown): CloudProblem {
  const isFinal = !(cause instanceof AppError) || cause.details.isClosed === true
  const message = `OpenStack: ${(cause as Error).message}`
  return new CloudProblem(isFinal ? 'invalid' : 'unavailable', message, undefined, { cause })
}
