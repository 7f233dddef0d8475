/** Each replica restarted in turn while requests and a job are under way. */
import { startStackFor } from '@fleetgate/testkit'
import t from 'tap'
import { logIn } from '../src/demo/account.js'
import { connectFleet, runOnce } from '../src/fleet/fanout.js'
import { replicasToRoll, restartReplica } from '../src/rolling/roll.js'
import { startLoad } from '../src/rolling/steadyLoad.js'

t.test('a rolling restart fails no request and loses no machine of a job', async (t) => {
  const stack = await startStackFor(t, { replicas: 2 })
  const account = await logIn(stack.url, { dataDir: stack.dataDir, say: () => {} })
  const fleet = await connectFleet(account, stack.mqttUrl, 20)
  t.teardown(() => fleet.close())
  const load = await startLoad(account.session)

  t.same(replicasToRoll(stack).length, 8, 'gateway and broker-proxy are one each')
  for (const name of ['scheduler', 'devices-2']) {
    const job = runOnce(account.session, fleet)
    await restartReplica(stack, name)
    t.equal((await job).succeeded, 20, `every machine ran the job while ${name} was restarted`)
  }

  const { sent, failed } = await load.finish(300)
  t.same(failed, [], `of ${sent} requests none failed`)
})
