/** Replicas restarted in turn while requests, jobs and pushes to websockets are under way. */
import { startStackFor } from '@fleetgate/testkit'
import t from 'tap'
import { logIn } from '../src/demo/account.js'
import { connectFleet, runOnce } from '../src/fleet/fanout.js'
import { startListeners } from '../src/rolling/listeners.js'
import { replicasToRoll, restartReplica } from '../src/rolling/roll.js'
import { startLoad } from '../src/rolling/steadyLoad.js'

t.test('a rolling restart fails no request, loses no machine of a job and no push', async (t) => {
  const stack = await startStackFor(t, { replicas: 2 })
  const account = await logIn(stack.url, { dataDir: stack.dataDir, say: () => {} })
  const fleet = await connectFleet(account, stack.mqttUrl, 20)
  t.teardown(() => fleet.close())
  const load = await startLoad(account.session, { lanes: 4, pauseMs: 40 })
  const listeners = await startListeners(account, stack.url, { count: 4, writeEveryMs: 25 })

  t.same(replicasToRoll(stack).length, 8, 'gateway and broker-proxy are one each')
  for (const name of ['scheduler', 'devices', 'devices-2']) {
    const before = load.sent()
    const job = runOnce(account.session, fleet)
    await restartReplica(stack, name)
    const { succeeded, visibleMs } = await job
    t.equal(succeeded, 20, `every machine ran the job while ${name} was restarted`)
    // Beside whatever else the machine does; what stalls would wait for the run's deadline.
    t.ok(visibleMs < 60_000, `and in ${Math.round(visibleMs)} ms`)
    t.ok(load.sent() - before >= 20, `${load.sent() - before} requests were under way meanwhile`)
  }

  const { sent, failed } = await load.finish(600)
  t.same(failed, [], `of ${sent} requests none failed`)
  const { written, reconnects, missed } = await listeners.finish()
  t.same(missed, [], `of ${written} values none was missed on a connection`)
  t.ok(reconnects >= 4, `each websocket was closed when its replica ended, ${reconnects} came back`)
})
