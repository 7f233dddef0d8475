import type { StepType } from '@fleetgate/contracts/fleet'
import { copyFile } from './copyFile.js'
import { deleteFile } from './deleteFile.js'
import { executeFile } from './executeFile.js'
import { getFileStatus } from './getFileStatus.js'
import { sendFile } from './sendFile.js'
import type { StepRun } from './step.js'
import { recvFile, uploadToServer } from './uploadToServer.js'
import { waitFlagFile } from './waitFlagFile.js'

/** The verbs this agent knows; IF is not one of them, it steers the others. */
export const stepRuns: Partial<Record<StepType, StepRun>> = {
  BROADCAST: sendFile,
  COPY_FILE: copyFile,
  DELETE_FILE: deleteFile,
  EXECUTE_FILE: executeFile,
  GET_FILE_STATUS: getFileStatus,
  RECV_FILE: recvFile,
  SEND_FILE: sendFile,
  UPLOAD_TO_SERVER: uploadToServer,
  WAIT_FLAG_FILE: waitFlagFile
}
