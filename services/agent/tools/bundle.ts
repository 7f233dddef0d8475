import { buildBundle } from './buildBundle.js'

console.log(await buildBundle(process.argv[2]))
