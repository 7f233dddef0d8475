import { randomBytes } from 'node:crypto'
import type { Ask } from './asker.js'
import { type Body, type Kind, kinds, users } from './kinds.js'
import { type Ground, type Load, repeat, some } from './load.js'

interface Made {
  kind: Kind
  id: string
  name: string
  /** That it was deleted was answered; where the answer was lost nothing is known. */
  isDeleted?: boolean
}

const deletesOneIn = 3

/** Things that people make, of every service, and machines that enrol. */
export function startChanges({ asker, account, random }: Ground): Load {
  const made: Made[] = []
  const enrolled: string[] = []
  const stamp = randomBytes(4).toString('hex')

  async function change(turn: number, lane: number): Promise<void> {
    const kind = kinds[(turn + lane * 5) % kinds.length] as Kind
    // With an end, so that none is the beginning of another.
    const name = `soak-${stamp}-${lane}-${turn}-x`
    const reply = await asker.ask<Body>(kind.make(name))
    const id = reply && kind.idOf(reply.body, name)
    if (reply && id === undefined) refused.push(`${kind.what}: ${reply.text}`)
    if (id === undefined) return
    const isUnmade = kind.unmake !== undefined && random.next() * deletesOneIn < 1
    if (!isUnmade) made.push({ kind, id, name })
    else if (await asker.ask(kind.unmake?.(id) as Ask)) made.push({ kind, id, name, isDeleted: true })
  }
  const refused: string[] = []

  /** A machine sends the same until it hears an answer. */
  async function enrol(turn: number): Promise<void> {
    const token = (await asker.ask<{ token: string }>({ method: 'post', path: '/v1/clients/enrolments', body: {} }))
      ?.body.token
    const clientId = `soak-enrolled-${stamp}-${turn}-x`
    for (let times = 0; token !== undefined && times < 5; times += 1) {
      const body = { token, clientId }
      if (!(await asker.ask({ method: 'post', path: '/v1/clients/enrol', body }))) continue
      enrolled.push(clientId)
      return
    }
  }

  const loops = [
    ...[0, 1, 2].map((lane) =>
      repeat(
        (turn) => change(turn, lane),
        () => random.between(50, 500)
      )
    ),
    repeat(enrol, () => random.between(2_000, 4_000))
  ]

  async function wrong({ kind, id, name, isDeleted = false }: Made): Promise<string[]> {
    const { method, path, body } = kind.find(id, name)
    const { session } = account
    const reply = method === 'get' ? await session.get(path) : await session.post(path, body)
    const isThere = reply.status === 200 && kind.isIt(reply.text, name)
    if (isThere !== isDeleted) return []
    return [
      `the ${isDeleted ? 'deleted ' : ''}${kind.what} ${name} (${id}): HTTP ${reply.status} ${reply.text.slice(0, 200)}`
    ]
  }

  async function notEnrolled(clientId: string): Promise<string[]> {
    const { session } = account
    type Found = { total: number }
    const { body } = await session.get<Found>(`/v1/clients?pageNo=1&pageSize=10&mqttClientIdContain=${clientId}`)
    const known = await session.get<Found>(`${users}?limit=1000`)
    const isThere = body.total >= 1 && known.text.includes(`m-${clientId}-`)
    return isThere ? [] : [`the machine ${clientId} has enrolled and is not there`]
  }

  return {
    counts: () => ({
      'things made': made.length,
      'things deleted': made.filter((one) => one.isDeleted).length,
      'machines enrolled': enrolled.length
    }),
    async stop() {
      await Promise.all(loops.map((loop) => loop.stop()))
    },
    async faults() {
      const lost: string[] = []
      for (const one of made) lost.push(...(await wrong(one)))
      for (const one of enrolled) lost.push(...(await notEnrolled(one)))
      return [...some(refused), ...some(lost)]
    }
  }
}
