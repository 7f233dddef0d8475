/** RECV_FILE between a machine that offers and a SERVER that takes, with the scheduler between them. */
import { startParts, until } from '@fleetgate/testkit'
import t from 'tap'
import { file, type Json, makeJob, newTenant, type Received, startFleet, startReplica } from './support.js'

t.setTimeout(120_000)

const recvStep = {
  type: 'RECV_FILE',
  filePath: '/var/out/day.csv',
  targetFilePath: '/in/{clientId}/',
  createFilePath: true,
  overWrite: 'COMPARE_OVERWRITE'
}

t.test('RECV_FILE', async (t) => {
  const parts = await startParts(t, { nats: true, engine: true })
  const fleet = await startFleet(t, parts)
  const replica = await startReplica(t, { parts, database: 'offers' })

  /** A machine at work on a RECV_FILE step. */
  async function begin() {
    const tenantId = newTenant()
    const machine = `till-${tenantId}`
    const api = replica.as({ tenantId })
    await fleet.connect(tenantId, [machine], 'STORE')
    await until(async () => (await api.get<Json>('/v1/clients?status=ONLINE')).body.total === 1, {
      what: 'the machine'
    })
    let command: Received | undefined
    fleet.onExecution = async (received) => {
      // On a slow machine one of an earlier run may be told again.
      if (received.tenantId === tenantId) command = received
      await fleet.report(received, [{ seq: 1, at: Date.now(), kind: 'RECEIVED' }])
    }
    const condition = { type: 'GET_FILE_STATUS', filePath: 'x' }
    const steps = [{ type: 'IF', conditions: [condition], true: [recvStep] }]
    const { jobId, scriptIds } = await makeJob(api, { clients: [machine], steps })
    await api.get(`/v1/jobs/${jobId}/run`)
    const { executionId, attempt } = await until(() => command, { what: 'the command' })
    const offer = { offerId: `o-${tenantId}`, executionId, attempt, scriptId: scriptIds[2], files: [file] }
    const server = `server-${tenantId}`
    const up = (body: unknown, clientId = machine) => fleet.up({ tenantId, clientId }, 'offer', body)
    const came = (channel: string, clientId: string) =>
      fleet.others.filter(
        (other) => other.tenantId === tenantId && other.channel === channel && other.clientId === clientId
      )
    return {
      tenantId,
      machine,
      offer,
      came,
      server,
      say: (fields: object = {}, clientId = machine) => up({ ...offer, ...fields }, clientId),
      up,
      /** Offers until the SERVER is there and told. */
      ordered: () => {
        const offered = async () => {
          await up(offer)
          return came('receive', server)[0]
        }
        return until(offered, { what: 'the order', everyMs: 200 })
      },
      heard: () => until(() => came('offer-end', machine).at(-1), { what: 'an answer' })
    }
  }

  t.test('waits for a SERVER, tells it where the files go, and passes back what it says', async (t) => {
    const { tenantId, machine, server, offer, say, heard, came, ordered } = await begin()
    await say()
    t.match(await heard(), { offerId: offer.offerId, waiting: /no SERVER machine is online/ })
    await fleet.connect(tenantId, [server], 'SERVER')
    t.match(await ordered(), {
      offerId: offer.offerId,
      from: machine,
      files: [file],
      name: 'day.csv',
      targetFilePath: `/in/${machine}/`,
      createFilePath: true,
      overWrite: 'COMPARE_OVERWRITE'
    })
    const answer = { offerId: offer.offerId, from: machine, message: 'received /in/day.csv' }
    await fleet.up({ tenantId, clientId: server }, 'received', answer)
    await until(() => came('offer-end', machine).some(({ message }) => message), { what: 'the end' })
    t.match(await heard(), { offerId: offer.offerId, message: `${server}: received /in/day.csv` })
    await fleet.up({ tenantId, clientId: server }, 'received', { ...answer, message: undefined, error: 'no room' })
    await until(() => came('offer-end', machine).some(({ error }) => error === 'no room'), { what: 'an error' })
  })

  t.test('believes a machine only about its own execution, attempt and step', async (t) => {
    const { tenantId, offer, say, up, came, machine, server, ordered } = await begin()
    const cases: [object, RegExp][] = [
      [{ executionId: 'x' }, /execution is unknown/],
      [{ attempt: 2 }, /attempt is over/],
      [{ scriptId: 999_999 }, /no RECV_FILE with number 999999/],
      [{ scriptId: (offer.scriptId ?? 0) - 1 }, /no RECV_FILE with number/]
    ]
    for (const [index, [fields, error]] of cases.entries()) {
      await say(fields)
      const end = await until(() => came('offer-end', machine)[index], { what: `answer ${index}` })
      t.match(end, { error })
    }
    await fleet.connect(tenantId, ['other'], 'STORE')
    await say({}, 'other')
    t.match(await until(() => came('offer-end', 'other')[0], { what: 'a refusal' }), { error: /unknown/ })
    await fleet.up({ tenantId, clientId: machine }, 'offer', '{"offerId":')
    await say({ files: [] })
    // Numbers that are short in the message and long in the order that it leads to: too long for the stream.
    await fleet.connect(tenantId, [server], 'SERVER')
    await ordered()
    const bulky = JSON.stringify({ ...offer, files: [{ ...file, bulk: [0] }] })
    await up(bulky.replace('[0]', `[${Array(180_000).fill('1e20')}]`))
    await say({ executionId: 'last' })
    const refusals = () => came('offer-end', machine).filter(({ error }) => error).length
    await until(() => refusals() === cases.length + 1, { what: 'garbage to be passed over' })
  })
})
