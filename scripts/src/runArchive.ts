import { join, resolve } from 'node:path'
import { workspaceRoot } from '@fleetgate/local'
import { backUp, restore } from './archive.js'

const [word, file] = process.argv.slice(2)
const dataDir = resolve(process.env.DATA_DIR || join(workspaceRoot, '.data'))
try {
  if (!file) throw new Error(`usage: scripts/${word} FILE (DATA_DIR names the data folder)`)
  if (word === 'backup') await backUp(dataDir, file)
  else await restore(file, dataDir)
  console.log(word === 'backup' ? `${dataDir} is in ${file}` : `${file} is in ${dataDir}`)
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error))
  process.exit(1)
}
