import { AppError } from '@fleetgate/kit'
import { type Cluster, leaderOf, mastersOf } from '../clusters/cluster.js'
import { createHostRunner } from '../hosts/hostRunner.js'
import { askHost, type LookDeps } from './look.js'

const mark = 'access '

/**
 * The file with which programs log in to the cluster, as a master has it now, the leader before all others. It is kept and logged
 * nowhere. Throws `unavailable` where no master gives it.
 */
export async function readKubeconfig(
  { shared, runner, now, log }: LookDeps,
  cluster: Cluster,
  script: string
): Promise<string> {
  const known = await shared(cluster)
  const hosts = createHostRunner(runner)
  const leader = leaderOf(cluster)
  const masters = mastersOf(cluster).filter(({ status }) => status === 'RUNNING')
  masters.sort((a, b) => Number(b.id === leader?.id) - Number(a.id === leader?.id))
  try {
    for (const host of masters) {
      const lines = await askHost({ hosts, known, scripts: [script], now }, host).catch((error) => {
        log.debug({ err: error, hostId: host.id }, 'master does not give its kubeconfig')
        return []
      })
      const file = lines.filter((line) => line.startsWith(mark)).map((line) => `${line.slice(mark.length)}\n`)
      if (file.length > 0) return file.join('')
    }
  } finally {
    hosts.close()
  }
  throw new AppError('unavailable', 'no master of the cluster gives its kubeconfig now')
}
