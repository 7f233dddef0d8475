import type { Reply, Session } from '@fleetgate/testkit'
import { until } from '@fleetgate/testkit'

/** The body of an answer, or an error that says what was asked and what came back. */
export function bodyOf<T>(reply: Reply<T>, what: string): T {
  if (reply.status >= 200 && reply.status < 300) return reply.body
  throw new Error(`${what}: HTTP ${reply.status} ${reply.text.slice(0, 500)}`)
}

export async function post<T>(session: Session, path: string, body: unknown): Promise<T> {
  return bodyOf(await session.post<T>(path, body), `POST ${path}`)
}

export async function put<T>(session: Session, path: string, body: unknown): Promise<T> {
  return bodyOf(await session.put<T>(path, body), `PUT ${path}`)
}

/** Reads again and again while parts of the product are away: reading changes nothing. */
export function get<T>(session: Session, path: string): Promise<T> {
  const read = async () => ({ body: bodyOf(await session.get<T>(path), `GET ${path}`) })
  return until(read, { what: `an answer to GET ${path}`, deadlineMs: 60_000, everyMs: 300 }).then(({ body }) => body)
}

export interface Page<T> {
  total: number
  list: T[]
}
