import { connectBus, listPublicKeys, Type } from '@fleetgate/contracts'
import { createApp, createGuard, createLog, createShutdown, dialects, route } from '@fleetgate/kit'
import { testGuardKeys } from '@fleetgate/testkit'

/**
 * A process of its own for `scripts/bench/gateway`: a real service made with the kit, with a small and a 20 KB answer,
 * and the one RPC of auth that the guards need. Prints `ready` and its address and a token as JSON, among the log lines.
 */
const log = createLog('bench-backend', 'warn')
const shutdown = createShutdown(log)
const bus = await connectBus({ name: 'auth', url: process.env.NATS_URL ?? 'nats://127.0.0.1:4222', log })
shutdown.add('bus', () => bus.close())
const { keys, token } = testGuardKeys()
await bus.serve(listPublicKeys, async () => ({ keys }))
const guard = await createGuard({ bus, log })
shutdown.add('guard', () => guard.close())

const job = (id: number) => ({
  jobId: id,
  jobName: `Distribute the price list of week ${id}`,
  cycleType: 2,
  executionTime: '04:30',
  enabled: true,
  priority: 5,
  maxRetries: 3,
  retryWait: 30,
  description: 'Sends the file to every store and checks its sum afterwards',
  createdAt: '2025-06-01T08:00:00.000Z',
  lastRun: { result: 'SUCCESS', ms: 5230 }
})
const small = job(1)
const large = { total: 70, list: Array.from({ length: 70 }, (_, index) => job(index)) }

const answer = (path: string, value: object) =>
  route({ method: 'get', path, summary: path, needs: 'job.view', reply: Type.Unknown(), handle: () => value })
const app = createApp({
  service: 'bench-backend',
  log,
  guard,
  apis: [{ dialect: dialects.sdes, routes: [answer('/v1/jobs', small), answer('/v1/tasks', large)] }]
})
shutdown.add('http', () => app.close())
const { url } = await app.listen(0, '127.0.0.1')
process.stdout.write(`ready ${JSON.stringify({ url, token: token({ codes: ['job.view'] }) })}\n`)
