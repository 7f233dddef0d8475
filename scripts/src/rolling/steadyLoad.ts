import type { Session } from '@fleetgate/testkit'

export interface LoadResult {
  sent: number
  /** Every answer that was no success, and every request without one. */
  failed: string[]
  /** The longest wait for an answer, in milliseconds. */
  slowestMs: number
}

export interface SteadyLoad {
  sent(): number
  /** Ends once at least so many were sent. */
  finish(atLeast: number): Promise<LoadResult>
}

export interface Pace {
  /** Requests that wait for their answers at the same time. */
  lanes: number
  /** Between an answer and the next request of its lane. */
  pauseMs: number
}

const benchPace: Pace = { lanes: 8, pauseMs: 4 }

/** Requests one after the other in several lanes: reads and writes, with and without a body, of each service in turn. */
export async function startLoad(session: Session, { lanes, pauseMs }: Pace = benchPace): Promise<SteadyLoad> {
  const perLane = await Promise.all(Array.from({ length: lanes }, (_, lane) => prepareQuestions(session, lane)))
  const failed: string[] = []
  let sent = 0
  let slowestMs = 0
  let wanted = Number.POSITIVE_INFINITY

  async function ask({ name, send }: Question): Promise<void> {
    const begun = performance.now()
    try {
      const { status, text } = await send()
      if (status >= 400) failed.push(`${name}: ${status} ${text.slice(0, 200)}`)
    } catch (error) {
      failed.push(`${name}: ${String((error as Error).cause ?? error)}`)
    }
    slowestMs = Math.max(slowestMs, performance.now() - begun)
  }

  async function lane(questions: Question[]): Promise<void> {
    for (let turn = 0; sent < wanted; turn++) {
      sent += 1
      await ask(questions[turn % questions.length] as Question)
      await new Promise((resolve) => setTimeout(resolve, pauseMs))
    }
  }

  const running = Promise.all(perLane.map(lane))
  return {
    sent: () => sent,
    async finish(atLeast) {
      wanted = Math.max(atLeast, sent)
      await running
      return { sent, failed, slowestMs }
    }
  }
}

interface Question {
  name: string
  send: () => Promise<{ status: number; text: string }>
}

/** A dashboard for each lane: two writes of one at the same moment are a conflict, and rightly so. */
async function prepareQuestions(session: Session, lane: number): Promise<Question[]> {
  const name = `Rolling ${Date.now()} ${lane}`
  const made = await session.post<{ data: { dashboard_id: string } }>('/dashboard', { name })
  const dashboard = `/dashboard/${made.body.data.dashboard_id}`
  return [
    { name: 'read auth', send: () => session.get('/user') },
    { name: 'search devices', send: () => session.post('/device/search', {}) },
    { name: 'read scheduler', send: () => session.get('/v1/jobs?pageNo=1&pageSize=10') },
    { name: 'write devices', send: () => session.put(dashboard, { name, widgets: [] }) },
    { name: 'read cluster-manager', send: () => session.get('/v1/pubkey') },
    { name: 'search auth', send: () => session.post('/user/roles/search', {}) },
    { name: 'write scheduler', send: () => session.post('/v1/settings', { managementServerTimeZone: 'UTC' }) }
  ]
}
