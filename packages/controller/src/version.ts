/** The version of the controller and of the images that are released with it. */
export const VERSION = "0.2.0";
